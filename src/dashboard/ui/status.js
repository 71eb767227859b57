// How the house is.

import * as api from "./api.js";
import { byId, fill, h } from "./dom.js";
import { bytes, length } from "./format.js";
import * as password from "./password.js";
import * as reset from "./reset.js";
import { strings } from "./strings.js";
import * as updates from "./updates.js";

const words = strings.status;
const POLL_MS = 5000;

/** @type {ReturnType<typeof setInterval> | undefined} */
let timer;
/** @type {() => void} */
let loggedOut = () => {};

/** Calls back after the sign-out. @param {() => void} listener */
export function onLogout(listener) {
  loggedOut = listener;
}

/** @param {HTMLElement} section */
export function mount(section) {
  fill(section,
    h("dl", { id: "status-list", class: "card facts" }),
    password.form(),
    updates.card(),
    h("div", { class: "buttons" },
      h("a", { class: "button", href: "/api/v1/openapi.json" }, words.api),
      h("a", { id: "diagnostics", class: "button", href: "/api/v1/diagnostics", download: true, title: strings.diagnostics.what },
        strings.diagnostics.download),
      h("button", { id: "logout", type: "button", onclick: logout }, words.logout)),
    reset.form());
}

export async function show() {
  clearInterval(timer);
  timer = setInterval(() => refresh().catch(() => {}), POLL_MS);
  await refresh();
}

export function hide() {
  clearInterval(timer);
}

async function refresh() {
  await Promise.all([draw(), updates.refresh()]);
}

async function draw() {
  const status = await api.get("status");
  const rows = Object.entries(words.rows).flatMap(([key, label]) => {
    const text = key in status ? shown(key, status[key]) : "";
    return text ? [h("div", { "data-key": key }, h("dt", {}, label), h("dd", {}, text))] : [];
  });
  fill(byId("status-list"), rows);
}

/** Nothing where there is nothing to tell. @param {string} key @param {any} value @returns {string} */
function shown(key, value) {
  if (key === "uptime_seconds") return length(value);
  if (key === "database_bytes") return bytes(value);
  if (key === "mqtt") return words.mqtt[/** @type {keyof typeof words.mqtt} */ (value)] ?? String(value);
  if (key === "model") return value ? modelText(value) : words.noModel;
  if (key === "databases_set_aside") return value.length > 0 ? `${value[0]} · ${words.setAside}` : "";
  if (key === "last_error") return value ? String(value) : words.noProblem;
  return typeof value === "number" ? value.toLocaleString() : String(value);
}

/** @param {{ route: string, name: string, reachable: boolean }} model */
function modelText(model) {
  const route = strings.routes[/** @type {keyof typeof strings.routes} */ (model.route)]?.[0] ?? model.route;
  return `${model.name} · ${route} · ${model.reachable ? words.reachable : words.unreachable}`;
}

async function logout() {
  await api.post("auth/logout").catch(() => {});
  loggedOut();
}
