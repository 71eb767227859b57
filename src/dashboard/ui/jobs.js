// Jobs and reminders: what is planned, and what became of it.

import * as api from "./api.js";
import { byId, fill, h } from "./dom.js";
import * as feed from "./feed.js";
import { moment, relative } from "./format.js";
import { form } from "./job-form.js";
import { strings } from "./strings.js";
import { busy, complain, toast } from "./toast.js";

const words = strings.jobs;

/**
 * @typedef {{ id: string, kind: string, category: string, label: string, text: string, cron?: string, enabled: boolean,
 *   next_run_at: string | null, last_run_at: string | null, last_outcome: string | null }} Job
 */

let isOpen = false;

/** @param {HTMLElement} section */
export function mount(section) {
  fill(section, h("div", { class: "columns" }, h("ul", { id: "jobs-list", class: "plain" }), form(refresh)));
  feed.listen((rows) => {
    if (isOpen && rows.some((row) => row.classification.startsWith("SCHEDULER"))) refresh();
  });
}

export async function show() {
  isOpen = true;
  await load();
}

export function hide() {
  isOpen = false;
}

function refresh() {
  load().catch(complain);
}

async function load() {
  /** @type {Job[]} */
  const jobs = (await api.get("jobs")) ?? [];
  const list = byId("jobs-list");
  if (jobs.length === 0) return fill(list, h("li", { id: "jobs-empty", class: "empty" }, h("p", {}, words.none)));
  // Next first, as the house lists them; what is over stands behind.
  jobs.sort((a, b) => Number(isOver(a)) - Number(isOver(b)));
  fill(list, jobs.map((job) => h("li", {}, card(job))));
}

/** @param {Job} job */
function card(job) {
  const path = `jobs/${encodeURIComponent(job.id)}`;
  const toggle = h("button", {
    id: `job-toggle-${job.id}`, type: "button",
    onclick: () => busy(toggle, async () => {
      await api.post(path, { enabled: !job.enabled });
      await load();
    }),
  }, job.enabled ? words.disable : words.enable);
  const run = h("button", {
    id: `job-run-${job.id}`, type: "button",
    onclick: () => busy(run, async () => {
      await api.post(`${path}/run`);
      toast(words.ran);
      await load();
    }),
  }, words.run);
  const remove = h("button", {
    id: `job-delete-${job.id}`, type: "button", class: "quiet",
    onclick: () => confirm(words.removeSure) && busy(remove, async () => {
      await api.remove(path);
      toast(words.removed);
      await load();
    }),
  }, words.remove);
  return h("article", { id: `job-${job.id}`, class: job.enabled && !isOver(job) ? "card" : "card unavailable" },
    h("h3", {}, job.label || job.text || job.category),
    job.label && job.text && job.text !== job.label && h("p", {}, job.text),
    h("p", { class: "muted small" }, facts(job).join(" · ")),
    h("div", { class: "buttons" }, !isOver(job) && toggle, run, remove));
}

/** Whether it will not run again by itself. @param {Job} job */
function isOver(job) {
  return !job.next_run_at && !job.cron;
}

/** @param {Job} job @returns {string[]} */
function facts(job) {
  const parts = [words.kinds[/** @type {keyof typeof words.kinds} */ (job.kind)] ?? job.kind];
  if (job.cron) parts.push(words.again(job.cron));
  if (isOver(job)) parts.push(words.over);
  else if (!job.enabled) parts.push(words.off);
  else if (job.next_run_at) parts.push(words.next(`${moment(job.next_run_at)} (${relative(job.next_run_at)})`));
  if (job.last_outcome) {
    const outcome = words.outcomes[/** @type {keyof typeof words.outcomes} */ (job.last_outcome)] ?? job.last_outcome;
    parts.push(words.last(outcome, relative(job.last_run_at)));
  }
  return parts;
}
