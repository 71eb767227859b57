// The conversation with the house.

import * as api from "./api.js";
import { ask, whenDone } from "./ask.js";
import { mine, Reply } from "./chat-message.js";
import { byId, fill, h, icon } from "./dom.js";
import * as feed from "./feed.js";
import * as mic from "./mic.js";
import { strings } from "./strings.js";
import { complain } from "./toast.js";
import * as user from "./user.js";

const words = strings.chat;
const HISTORY_LEN = 50;
const MESSAGES_MAX = 400;
const INPUT_HEIGHT_MAX = 160;

/** Tasks whose answers this page shows already. @type {Set<string>} */
const shown = new Set();
/** Events that may be such answers. @type {feed.Row[]} */
let held = [];

/** @type {HTMLElement} */
let place;

/** @param {HTMLElement} section */
export function mount(section) {
  place = section;
  feed.listen(hear);
}

export async function show() {
  const person = user.get() ?? (await user.load());
  if (!person) return user.choose(place, open);
  if (byId("chat-log")) byId("chat-input").focus();
  else open(person);
}

export function hide() {
  mic.cancel();
}

/** @param {user.User} person */
async function open(person) {
  const log = h("div", { id: "chat-log", class: "log", role: "log", "aria-label": words.log, tabindex: "0" });
  const input = h("textarea", {
    id: "chat-input", rows: 1, "aria-label": words.input, placeholder: words.placeholder, enterkeyhint: "send",
    oninput: () => stretch(input),
    onkeydown: (/** @type {KeyboardEvent} */ event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      submit(person, input);
    },
  });
  const form = h("form", {
    id: "chat-form", class: "composer",
    onsubmit: (/** @type {Event} */ event) => {
      event.preventDefault();
      submit(person, input);
    },
  }, input, mic.microphone((text, isDone) => dictate(input, text, isDone)), h("button", { id: "chat-send", type: "submit", class: "primary round", "aria-label": words.send }, icon("send")));
  const change = h("button", { id: "chat-user", type: "button", class: "quiet small", onclick: leave },
    strings.user.change(person.name));
  fill(place, h("div", { class: "chat" }, change, log, form));
  input.focus();
  try {
    await recall(person, log);
  } catch (error) {
    complain(error);
  }
  if (!log.hasChildNodes()) suggest(person, log);
  log.scrollTop = log.scrollHeight;
}

/** To another person, who gets a composer of their own. */
function leave() {
  mic.cancel();
  user.choose(place, open);
}

/** Shows what was said before. @param {user.User} person @param {HTMLElement} log */
async function recall(person, log) {
  const path = `sessions/${encodeURIComponent(`webui:${person.id}`)}?limit=${HISTORY_LEN}`;
  const session = await api.get(path).catch((error) => {
    if (error instanceof api.ApiError && error.status === 404) return null;
    throw error;
  });
  for (const { role, content, timestamp, task_id } of session?.messages ?? []) {
    if (task_id) shown.add(task_id);
    if (role === "user") log.append(mine(content, timestamp));
    if (role === "assistant") log.append(finished({ reply: content, at: timestamp }));
  }
}

/** @param {user.User} person @param {HTMLElement} log */
function suggest(person, log) {
  const chips = words.suggestions.map((text) =>
    h("li", {}, h("button", { type: "button", onclick: () => send(person, text) }, text)));
  log.append(h("div", { id: "chat-suggestions", class: "empty" }, h("p", {}, words.empty), h("ul", { class: "chips" }, chips)));
}

/** @param {user.User} person @param {HTMLTextAreaElement} input */
function submit(person, input) {
  const text = input.value.trim();
  if (!text || input.readOnly) return;
  input.value = "";
  stretch(input);
  send(person, text);
}

/** @param {user.User} person @param {string} text */
function send(person, text) {
  byId("chat-suggestions")?.remove();
  add(mine(text));
  const reply = new Reply();
  add(reply.node);
  deliver(person, text, api.idempotencyKey(), reply);
}

/** @param {user.User} person @param {string} text @param {string} key @param {Reply} reply */
async function deliver(person, text, key, reply) {
  const following = new MutationObserver(() => follow());
  following.observe(reply.node, { childList: true, characterData: true, subtree: true });
  try {
    const answer = await ask(person.id, text, key, reply);
    if (answer.task_id) shown.add(answer.task_id);
    reply.finish(answer, () => goOn(answer.task_id));
  } catch (error) {
    const sentence = error instanceof Error ? error.message : String(error);
    reply.fail(sentence, () => {
      reply.restart();
      deliver(person, text, key, reply);
    });
  }
  follow();
  following.disconnect();
  const rows = held;
  held = [];
  hear(rows);
}

/** Shows the answer of a task that had waited for approval. @param {string | undefined} taskId */
async function goOn(taskId) {
  if (!taskId) return;
  const reply = new Reply();
  add(reply.node);
  try {
    reply.finish(await whenDone(taskId));
  } catch (error) {
    reply.fail(error instanceof Error ? error.message : String(error), null);
  }
  follow();
}

/** Shows what the house says unasked, such as a reminder, and answers to this person from elsewhere. @param {feed.Row[]} rows */
function hear(rows) {
  const person = user.get();
  if (!person || !byId("chat-log")) return;
  for (const row of rows) {
    const facts = feed.metadata(row);
    if (!isFor(person, row.classification, facts)) continue;
    // Answers to what was asked here come in their own way; which they are is known when they have come.
    if (facts.task_id && isWaiting()) {
      held.push(row);
      continue;
    }
    if (facts.task_id && shown.has(facts.task_id)) continue;
    if (facts.task_id) shown.add(facts.task_id);
    byId("chat-suggestions")?.remove();
    add(finished({ reply: row.content_text, route: facts.route, trace_id: row.trace_id, at: row.timestamp }));
  }
}

/**
 * Whether an event is something said to this person: what goes to this conversation, and reminders that were made without one.
 * @param {user.User} person @param {string} classification @param {Record<string, any>} facts
 */
function isFor(person, classification, facts) {
  if (classification.startsWith("WEBUI_OUTBOUND")) return String(facts.chat_id) === String(person.id);
  return classification.startsWith("SCHEDULER_OUTBOUND");
}

/** Whether an answer is on its way here. */
function isWaiting() {
  return byId("chat-log").querySelector("[aria-busy]") !== null;
}

/** @param {Parameters<Reply["finish"]>[0]} answer */
function finished(answer) {
  const reply = new Reply();
  reply.finish(answer);
  return reply.node;
}

/** @param {HTMLElement} node */
function add(node) {
  const log = byId("chat-log");
  log.append(node);
  while (log.childElementCount > MESSAGES_MAX) log.firstElementChild.remove();
  log.scrollTop = log.scrollHeight;
}

/** Keeps the end in sight, unless somebody has scrolled up to read. */
function follow() {
  const log = byId("chat-log");
  if (log && log.scrollHeight - log.scrollTop - log.clientHeight < 240) log.scrollTop = log.scrollHeight;
}

/** What stood in the composer when somebody began to speak. @type {string | null} */
let written = null;

/**
 * Adds what was heard, which the person reads before it is sent. Until it is done the next text takes its place.
 * @param {HTMLTextAreaElement} input @param {string} text @param {boolean} isDone
 */
function dictate(input, text, isDone) {
  written ??= input.value.trimEnd();
  input.value = [written, text].filter(Boolean).join(" ");
  input.readOnly = !isDone;
  if (isDone) written = null;
  stretch(input);
  input.focus();
}

/** @param {HTMLTextAreaElement} input */
function stretch(input) {
  input.style.height = "auto";
  input.style.height = `${Math.min(input.scrollHeight, INPUT_HEIGHT_MAX)}px`;
}
