// Everything that happened, newest first.

import * as api from "./api.js";
import { byId, fill, h } from "./dom.js";
import * as feed from "./feed.js";
import { moment, relative } from "./format.js";
import { address } from "./router.js";
import { strings } from "./strings.js";
import { busy } from "./toast.js";
import * as trace from "./trace.js";

const words = strings.activity;
const PAGE_LEN = 100;
const ROWS_MAX = 1000;

/** @typedef {feed.Row} Row */

/** Newest first. @type {Row[]} */
let rows = [];
let isOpen = false;
let hasMore = false;

/** @param {HTMLElement} section */
export function mount(section) {
  const kinds = Object.entries(words.kinds).map(([kind, word]) => h("option", { value: kind }, word));
  const more = h("button", { id: "activity-more", type: "button", hidden: true, onclick: () => busy(more, older) }, words.more);
  fill(section,
    h("div", { id: "activity" },
      h("div", { class: "joined" },
        h("label", { for: "activity-filter" }, words.filter), h("select", { id: "activity-filter", onchange: draw }, kinds)),
      h("ol", { id: "activity-list", class: "events" }),
      more),
    h("div", { id: "trace", hidden: true }));
  feed.listen((fresh) => {
    if (!isOpen) return;
    rows = [...fresh].reverse().concat(rows).slice(0, ROWS_MAX);
    draw();
  });
}

/** @param {string} argument a trace to open, or nothing for the list */
export async function show(argument) {
  byId("activity").hidden = argument !== "";
  byId("trace").hidden = argument === "";
  isOpen = true;
  if (argument) return trace.show(byId("trace"), argument);
  rows = (await api.get(`timeline?limit=${PAGE_LEN}`)) ?? [];
  hasMore = rows.length === PAGE_LEN;
  draw();
}

export function hide() {
  isOpen = false;
}

async function older() {
  /** @type {Row[]} */
  const page = (await api.get(`timeline?limit=${PAGE_LEN}&offset=${rows.length}`)) ?? [];
  const last = rows[rows.length - 1]?.id ?? Infinity;
  rows = rows.concat(page.filter((row) => row.id < last)).slice(0, ROWS_MAX);
  hasMore = page.length === PAGE_LEN && rows.length < ROWS_MAX;
  draw();
}

function draw() {
  const wanted = byId("activity-filter").value;
  const shown = rows.filter((row) => wanted === "all" || kindOf(row) === wanted);
  byId("activity-more").hidden = !hasMore;
  const list = byId("activity-list");
  if (shown.length === 0) {
    return fill(list, h("li", { class: "empty" }, h("p", {}, rows.length ? words.noMatch : words.none)));
  }
  // Rows that are there stay, so that the focus does.
  const known = new Map([...list.children].map((node) => [node.id, node]));
  list.replaceChildren(...shown.map((row) => known.get(`event-${row.id}`) ?? item(row)));
}

/** @param {Row} row */
function item(row) {
  const text = row.content_text;
  const inside = [
    h("span", { class: "dot", "data-kind": kindOf(row) }),
    h("span", { class: "event-words" },
      h("span", { class: "event-title" }, title(row)),
      text && h("span", { class: "event-text" }, text.length > 300 ? `${text.slice(0, 300)}…` : text)),
    h("time", { datetime: row.timestamp, title: moment(row.timestamp) }, moment(row.timestamp) || relative(row.timestamp)),
  ];
  const link = row.trace_id
    ? h("a", { href: address("activity", row.trace_id) }, inside)
    : h("span", {}, inside);
  return h("li", { id: `event-${row.id}` }, link);
}

/** What kind of event it is, for the filter. @param {{ classification: string, event_type: string, authorized: boolean }} row */
function kindOf(row) {
  const name = row.classification;
  if (row.event_type === "SECURITY" || !row.authorized || name.startsWith("APPROVAL")) return "security";
  if (name.includes("INBOUND") || name.includes("OUTBOUND")) return "message";
  if (name.includes("LLM")) return "model";
  if (name.includes("TOOL")) return "tool";
  if (name.startsWith("HOME")) return "home";
  return "other";
}

/** An event in a few words. @param {Row} row @returns {string} */
export function title(row) {
  const name = row.classification;
  const known = words.titles[/** @type {keyof typeof words.titles} */ (name)];
  if (known) return known;
  if (name.includes("INBOUND")) return words.said((row.sender_name || row.sender_id).replace(/^webui:/, ""));
  if (name.includes("OUTBOUND")) return words.answered;
  if (name.includes("LLM")) return words.model;
  if (name.includes("TOOL")) return words.tool(feed.metadata(row).tool_name ?? "");
  return name;
}

