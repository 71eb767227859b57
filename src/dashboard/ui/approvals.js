// What waits for a yes or a no.

import * as api from "./api.js";
import { card } from "./approval-card.js";
import { byId, fill, h, setText } from "./dom.js";
import * as feed from "./feed.js";
import { strings } from "./strings.js";
import { complain } from "./toast.js";

const words = strings.approvals;

/** @param {HTMLElement} section */
export function mount(section) {
  fill(section, h("ul", { id: "approvals-list", class: "plain cards" }));
  feed.listen((rows) => {
    if (rows.some((row) => row.classification.startsWith("APPROVAL"))) refresh().catch(complain);
  });
}

export function show() {
  return refresh();
}

export function hide() {}

/** Reads what waits; keeps the number in the navigation right, too. */
export async function refresh() {
  /** @type {import("./approval-card.js").Approval[]} */
  const pending = (await api.get("approvals/pending")) ?? [];
  const count = byId("approvals-count");
  setText(count, pending.length ? String(pending.length) : "");
  count.title = words.waiting(pending.length);
  count.hidden = pending.length === 0;
  const list = byId("approvals-list");
  if (pending.length === 0) return fill(list, h("li", { id: "approvals-empty", class: "empty" }, h("p", {}, words.none)));
  fill(list, pending.map((approval) => h("li", {}, card(approval))));
}
