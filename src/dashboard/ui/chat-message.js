// One message of the conversation: yours, or an answer that may still be growing.

import { buttons } from "./approval-card.js";
import { fill, h, setText } from "./dom.js";
import { moment } from "./format.js";
import { address } from "./router.js";
import { strings } from "./strings.js";

const words = strings.chat;
/** KafClaw's wording of a question for approval. */
const APPROVAL = /\bapprove:([0-9a-f]{8,64})\b/;
/** Its last line, which the buttons stand for. */
const APPROVAL_HINT = /\n[^\n]*\bapprove:[0-9a-f]+[^\n]*$/;

/** @param {string} text @param {string} [at] */
export function mine(text, at = new Date().toISOString()) {
  return h("article", { class: "message", "data-from": "me", "data-state": "done" },
    h("h3", { class: "hidden" }, words.me),
    h("p", { class: "message-text", title: moment(at) }, text));
}

/** An answer. Its methods tell what became of it. */
export class Reply {
  constructor() {
    this.text = "";
    /** @type {string[]} */
    this.tools = [];
    this.words = h("p", { class: "message-text" });
    this.note = h("p", { class: "note" }, words.thinking);
    this.foot = h("div", { class: "foot" });
    this.node = h("article", { class: "message", "data-from": "house", "data-state": "waiting", "aria-busy": "true" },
      h("h3", { class: "hidden" }, words.house), this.words, this.note, this.foot);
  }

  /** @param {string} piece */
  grow(piece) {
    this.text += piece;
    this.words.textContent = this.text;
    this.#become("streaming", "");
  }

  restart() {
    this.text = "";
    this.words.textContent = "";
    this.#become("waiting", words.restarted);
  }

  /** @param {string} tool */
  use(tool) {
    if (!this.tools.includes(tool)) this.tools.push(tool);
    this.#become("streaming", words.using(tool));
  }

  waitForConnection() {
    this.#become("waiting", words.waiting);
  }

  /**
   * The whole answer. @param {{ reply: string, route?: string, trace_id?: string, approval_id?: string, at?: string }} answer
   * @param {() => void} [decided] called when a question for approval was decided here
   */
  finish(answer, decided) {
    this.text = decided ? answer.reply.replace(APPROVAL_HINT, "") : answer.reply;
    this.words.textContent = this.text;
    if (answer.at) this.words.title = moment(answer.at);
    this.#become("done", this.tools.length ? words.used(this.tools.join(", ")) : "");
    const [label, explanation] = strings.routes[/** @type {keyof typeof strings.routes} */ (answer.route)] ?? [];
    if (answer.route) this.node.dataset.route = answer.route;
    if (answer.trace_id) this.node.dataset.trace = answer.trace_id;
    const approval = answer.approval_id ?? APPROVAL.exec(answer.reply)?.[1];
    fill(this.foot,
      approval && decided && buttons(approval, decided),
      label && h("span", { class: "badge route", "data-route": answer.route, title: explanation }, label),
      answer.trace_id && h("a", { href: address("activity", answer.trace_id) }, words.details));
  }

  /** @param {string} sentence @param {(() => void) | null} again */
  fail(sentence, again) {
    this.#become("failed", sentence);
    fill(this.foot, again && h("button", { type: "button", onclick: again }, words.retry));
  }

  /** @param {string} state @param {string} note */
  #become(state, note) {
    this.node.dataset.state = state;
    setText(this.note, note);
    this.note.hidden = note === "";
    if (state === "done" || state === "failed") this.node.removeAttribute("aria-busy");
  }
}
