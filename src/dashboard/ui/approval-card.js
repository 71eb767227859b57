// One request for approval with its two buttons, in the chat and in the list.

import * as api from "./api.js";
import { fill, h } from "./dom.js";
import { moment, relative } from "./format.js";
import { strings } from "./strings.js";
import { complain } from "./toast.js";

const words = strings.approvals;

/**
 * @typedef {{ approval_id: string, tool: string, tier: number, arguments?: string, sender?: string, channel?: string,
 *   created_at: string, expires_at?: string }} Approval
 */

/** @param {Approval} approval @param {(approved: boolean) => void} [decided] */
export function card(approval, decided) {
  const id = approval.approval_id;
  const who = [approval.sender, approval.channel].filter(Boolean).join(" · ");
  return h("article", { id: `approval-${id}`, class: "card approval" },
    h("h3", {}, words.wants(approval.tool), " ",
      h("span", { class: "badge", "data-tier": approval.tier }, words.tiers[approval.tier] ?? String(approval.tier))),
    approval.arguments && h("pre", {}, pretty(approval.arguments)),
    h("p", { class: "muted", title: moment(approval.created_at) }, words.asked(who, relative(approval.created_at)),
      approval.expires_at && ` · ${words.expires(relative(approval.expires_at))}`),
    buttons(id, decided));
}

/** Approve and Deny; afterwards they say what became of it. @param {string} id @param {(approved: boolean) => void} [decided] */
export function buttons(id, decided) {
  const row = h("div", { class: "buttons", role: "group" });
  const button = (/** @type {boolean} */ approved) => h("button", {
    id: `${approved ? "approve" : "deny"}-${id}`,
    type: "button",
    class: approved ? "primary" : "",
    onclick: () => answer(row, id, approved, decided),
  }, approved ? words.approve : words.deny);
  fill(row, button(true), button(false));
  return row;
}

/** @param {HTMLElement} row @param {string} id @param {boolean} approved @param {(approved: boolean) => void} [decided] */
async function answer(row, id, approved, decided) {
  for (const button of row.querySelectorAll("button")) button.disabled = true;
  try {
    const { status } = await api.post(`approvals/${encodeURIComponent(id)}`, { approved });
    say(row, status);
    decided?.(approved);
  } catch (error) {
    if (error instanceof api.ApiError && (error.status === 404 || error.status === 409)) {
      fill(row, h("p", { class: "muted" }, error.message));
      return;
    }
    for (const button of row.querySelectorAll("button")) button.disabled = false;
    complain(error);
  }
}

/** @param {HTMLElement} row @param {string} status */
function say(row, status) {
  const text = { approved: words.approved, denied: words.denied, timeout: words.timeout }[status] ?? status;
  fill(row, h("p", { class: "muted", role: "status" }, text));
}

/** @param {string} json */
function pretty(json) {
  try {
    return JSON.stringify(JSON.parse(json), null, 2);
  } catch {
    return json;
  }
}
