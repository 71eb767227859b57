// Updates of the whole system: which runs, what is newer, how far it is, and why the last one came back.

import * as api from "./api.js";
import { byId, fill, h } from "./dom.js";
import { bytes, moment } from "./format.js";
import { strings } from "./strings.js";
import { busy } from "./toast.js";

const words = strings.updates;

/** An update is under way that has not changed anything yet. */
let isComing = false;

/**
 * @typedef {{ supported: boolean, version: string, slot: string, phase: string, at_work: boolean, coming: boolean, working: boolean, requested: boolean, reason: string | null,
 *   bundle: { version: string } | null, progress: { percent: number | null, words: string, refused: string | null } | null,
 *   available: { version: string, bytes: number | null, newer: boolean } | null, check_error: string | null, checked_at: string | null,
 *   automatic: { on: boolean, source: string }, past: { at: string, version: string, outcome: string, reason: string | null }[] }} View
 */

/** Drawn when the first answer says that this machine has slots. */
export function card() {
  return h("article", { id: "updates", class: "card", hidden: true },
    h("h2", {}, words.title),
    h("p", { id: "updates-state", role: "status" }),
    h("progress", { id: "updates-progress", max: "100", hidden: true }),
    h("div", { class: "buttons" },
      h("input", { id: "updates-source", type: "text", placeholder: words.source, "aria-label": words.source, autocapitalize: "off" }),
      button("updates-check", words.check, () => act("check")),
      button("updates-install", words.install, () => act("install")),
      button("updates-restart", words.restart, () => confirm(words.restartSure) && act("restart")),
      button("updates-rollback", words.rollback, () => confirm(isComing ? words.callOffSure : words.rollbackSure) && act("rollback"))),
    h("ul", { id: "updates-past", class: "plain small muted" }));
}

export async function refresh() {
  draw(await api.get("update"));
}

/** @param {string} id @param {string} label @param {() => unknown} onclick */
function button(id, label, onclick) {
  const node = h("button", { id, type: "button", onclick: () => busy(node, async () => { await onclick(); }) }, label);
  return node;
}

/** @param {string} action */
async function act(action) {
  const source = /** @type {HTMLInputElement} */ (byId("updates-source")).value.trim();
  const body = source && (action === "check" || action === "install") ? { source } : {};
  draw(await api.post(`update/${action}`, body));
}

/** @param {View} view */
function draw(view) {
  byId("updates").hidden = !view.supported;
  if (!view.supported) return;
  byId("updates-state").textContent = state(view);
  const bar = /** @type {HTMLProgressElement} */ (byId("updates-progress"));
  const percent = view.progress?.percent;
  bar.hidden = !view.progress || Boolean(view.progress.refused);
  if (typeof percent === "number") bar.value = percent;
  else bar.removeAttribute("value");
  isComing = view.coming;
  byId("updates-rollback").textContent = isComing ? words.callOff : words.rollback;
  byId("updates-restart").hidden = view.phase !== "awaiting_restart";
  fill(byId("updates-past"), view.past.map((past) => {
    const outcome = words.phases[/** @type {keyof typeof words.phases} */ (past.outcome)] ?? past.outcome;
    const reason = past.reason ? `: ${past.reason}` : "";
    return h("li", {}, `${moment(past.at)} · ${past.version} ${outcome}${reason}`);
  }));
}

/** @param {View} view */
function state(view) {
  const parts = [words.runs(view.version, view.slot)];
  const phase = words.phases[/** @type {keyof typeof words.phases} */ (view.phase)];
  if (view.requested) parts.push(words.requested);
  else if (phase && view.phase !== "idle") parts.push(`${view.bundle?.version ?? ""} ${phase}`.trim() + (view.reason ? `: ${view.reason}` : ""));
  if (view.working && !view.at_work) parts.push(words.cutOff);
  if (view.progress?.refused) parts.push(view.progress.refused);
  if (view.check_error) parts.push(view.check_error);
  else if (view.available?.newer) parts.push(words.newer(view.available.version, view.available.bytes ? bytes(view.available.bytes) : ""));
  else if (view.available) parts.push(words.newest);
  return parts.join(" · ");
}
