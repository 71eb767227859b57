// The form that makes a job or a reminder.

import * as api from "./api.js";
import { h } from "./dom.js";
import { strings } from "./strings.js";
import { busy, complain, toast } from "./toast.js";
import * as user from "./user.js";

const words = strings.jobs;
const TEXT_CHARS_MAX = 4000;

/** @param {() => void} added */
export function form(added) {
  const text = h("input", { id: "job-text", maxlength: TEXT_CHARS_MAX, placeholder: words.textHint, required: true });
  const kind = h("select", { id: "job-kind" }, options(words.kinds));
  const when = h("select", { id: "job-when", onchange: () => choose() }, options(words.whens));
  const times = { in: after(), at: at(), cron: repeat() };
  const choose = () => {
    for (const [name, part] of Object.entries(times)) part.node.hidden = name !== when.value;
  };
  const button = h("button", { id: "job-add", type: "submit", class: "primary" }, words.button);
  const node = h("form", {
    id: "jobs-form", class: "card form", novalidate: true,
    onsubmit: (/** @type {Event} */ event) => {
      event.preventDefault();
      const body = text.value.trim();
      if (!body) return complain(new Error(words.missingText));
      const time = times[/** @type {keyof typeof times} */ (when.value)].read();
      if (!time) return complain(new Error(words.missingWhen));
      busy(button, async () => {
        await api.post(path(), { kind: kind.value, text: body, ...time });
        toast(words.added);
        text.value = "";
        added();
      });
    },
  },
    h("h2", {}, words.add),
    field("job-text", words.text, text),
    field("job-when", words.when, when),
    ...Object.values(times).map((part) => part.node),
    field("job-kind", words.kind, kind),
    button);
  choose();
  return node;
}

/** Whose conversation the job speaks in. */
function path() {
  const person = user.get();
  return person ? `jobs?web_user_id=${person.id}` : "jobs";
}

/** @typedef {{ node: HTMLElement, read: () => Record<string, string> | null }} Time */

/** @returns {Time} */
function after() {
  const count = h("input", { id: "job-in", type: "number", min: 1, max: 9999, value: "10", inputmode: "numeric" });
  const unit = h("select", { id: "job-unit", "aria-label": words.in }, options(words.units));
  const read = () => (Number(count.value) > 0 ? { in: `${Math.floor(Number(count.value))}${unit.value}` } : null);
  return { node: field("job-in", words.in, h("div", { class: "joined" }, count, unit)), read };
}

/** @returns {Time} */
function at() {
  const input = h("input", { id: "job-at", type: "datetime-local" });
  const read = () => {
    const date = new Date(input.value);
    return Number.isNaN(date.getTime()) ? null : { at: date.toISOString() };
  };
  return { node: field("job-at", words.at, input), read };
}

/** @returns {Time} */
function repeat() {
  const time = h("input", { id: "job-time", type: "time", value: "07:00" });
  const cron = h("input", { id: "job-cron", placeholder: "0 7 * * 1-5", spellcheck: "false", autocapitalize: "off" });
  const days = h("select", { id: "job-days", onchange: () => choose() }, options(words.dayChoices));
  const [byTime, byCron] = [field("job-time", words.time, time), field("job-cron", words.cron, cron)];
  const choose = () => {
    byTime.hidden = days.value === "custom";
    byCron.hidden = !byTime.hidden;
  };
  choose();
  const read = () => {
    if (days.value === "custom") return cron.value.trim() ? { cron: cron.value.trim() } : null;
    const [hour, minute] = time.value.split(":").map(Number);
    return Number.isInteger(hour) && Number.isInteger(minute) ? { cron: `${minute} ${hour} * * ${days.value}` } : null;
  };
  return { node: h("div", { class: "form" }, field("job-days", words.days, days), byTime, byCron), read };
}

/** @param {string} id @param {string} label @param {Node} control */
function field(id, label, control) {
  return h("div", { class: "field" }, h("label", { for: id }, label), control);
}

/** @param {Record<string, string>} choices */
function options(choices) {
  return Object.entries(choices).map(([value, word]) => h("option", { value }, word));
}
