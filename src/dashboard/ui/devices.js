// The home by room, as it is now.

import * as api from "./api.js";
import * as connection from "./connection.js";
import { card, shape } from "./device-card.js";
import { byId, fill, h } from "./dom.js";
import { strings } from "./strings.js";
import { complain } from "./toast.js";

const words = strings.devices;
const POLL_MS = 2000;

/** @typedef {import("./device-card.js").Device} Device */

/** Cards that are on the page. @type {Map<string, { shape: string, card: import("./device-card.js").Card }>} */
const cards = new Map();
/** What the list looks like: rooms and devices in order. */
let order = "";
let generation = 0;
/** This machine has a broker of its own. */
let hasBroker = false;

/** @param {HTMLElement} section */
export function mount(section) {
  fill(section,
    h("input", { id: "devices-filter", type: "search", "aria-label": words.filter, placeholder: words.filter, oninput: () => filter() }),
    h("datalist", { id: "rooms" }),
    h("div", { id: "devices-list" }),
    h("details", { id: "broker", class: "card", hidden: true }, h("summary", {}, words.broker), h("div", { id: "broker-accounts" })));
}

export function show() {
  generation += 1;
  api.get("broker").then(connect).catch(complain);
  return follow(generation);
}

/** Says how devices get to the broker of this machine. @param {{ port: number, accounts: { user: string, password: string, purpose: string }[] }} broker */
function connect(broker) {
  const hadBroker = hasBroker;
  hasBroker = broker.accounts.length > 0;
  // What an empty home teaches may have been drawn before; the next look draws it anew.
  if (hasBroker !== hadBroker) order = "";
  byId("broker").hidden = !hasBroker;
  fill(byId("broker-accounts"),
    h("p", {}, words.connect(location.hostname, broker.port)),
    h("dl", {}, broker.accounts.flatMap((account) => [
      h("dt", {}, h("code", {}, account.user), " ", h("code", {}, account.password)),
      h("dd", { class: "small muted" }, account.purpose)])));
}

export function hide() {
  generation += 1;
}

/** @param {number} mine */
async function follow(mine) {
  let hasComplained = false;
  while (mine === generation) {
    try {
      await refresh();
      hasComplained = false;
    } catch (error) {
      if (!hasComplained && connection.isOnline()) complain(error);
      hasComplained = true;
    }
    await Promise.all([connection.whenOnline(), new Promise((resolve) => setTimeout(resolve, POLL_MS))]);
    while (document.hidden && mine === generation) {
      await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
    }
  }
}

async function refresh() {
  /** @type {Device[]} */
  const devices = (await api.get("devices")) ?? [];
  for (const device of devices) {
    const known = cards.get(device.id);
    const form = shape(device);
    if (known?.shape === form) known.card.update(device);
    else cards.set(device.id, { shape: form, card: card(device, soon) });
  }
  arrange(devices);
}

/** Looks again without waiting for the next turn. */
function soon() {
  refresh().catch(complain);
}

/** Puts the cards into their rooms; what is in place is not touched, so that nothing loses the focus. @param {Device[]} devices */
function arrange(devices) {
  const rooms = byRoom(devices);
  const next = JSON.stringify(rooms.map(([room, list]) => [room, list.map((device) => [device.id, cards.get(device.id)?.shape])]));
  if (next === order) return;
  order = next;
  const known = new Set(devices.map((device) => device.id));
  for (const id of cards.keys()) if (!known.has(id)) cards.delete(id);
  fill(byId("rooms"), rooms.filter(([room]) => room !== "").map(([room]) => h("option", { value: room })));
  byId("devices-filter").hidden = devices.length < 6;
  const list = byId("devices-list");
  if (devices.length === 0) return fill(list, teach());
  fill(list, rooms.map(([room, members]) => h("section", { class: "room" },
    h("h2", {}, room || words.noRoom),
    h("div", { class: "cards" }, members.map((device) => cards.get(device.id)?.card.node)))));
  filter();
}

/** Rooms by name, devices without a room last. @param {Device[]} devices @returns {[string, Device[]][]} */
function byRoom(devices) {
  /** @type {Map<string, Device[]>} */
  const rooms = new Map();
  for (const device of [...devices].sort((a, b) => a.name.localeCompare(b.name))) {
    const room = device.room_name ?? "";
    rooms.set(room, [...(rooms.get(room) ?? []), device]);
  }
  return [...rooms].sort(([a], [b]) => Number(a === "") - Number(b === "") || a.localeCompare(b));
}

function filter() {
  const wanted = byId("devices-filter").value.trim().toLowerCase();
  for (const section of document.querySelectorAll("#devices-list .room")) {
    let isAny = false;
    for (const node of /** @type {NodeListOf<HTMLElement>} */ (section.querySelectorAll(".device"))) {
      node.hidden = !matches(node, section, wanted);
      isAny ||= !node.hidden;
    }
    /** @type {HTMLElement} */ (section).hidden = !isAny;
  }
}

/** Whether the device or its room has the word. @param {Element} node @param {Element} section @param {string} wanted */
function matches(node, section, wanted) {
  const room = section.querySelector("h2")?.textContent ?? "";
  return `${room} ${node.querySelector("h3")?.textContent ?? ""}`.toLowerCase().includes(wanted);
}

function teach() {
  return h("div", { id: "devices-empty", class: "empty" },
    h("h2", {}, words.none), h("p", {}, hasBroker ? words.teachOwn : words.teach), hasBroker ? null : h("pre", {}, h("code", {}, words.command)));
}
