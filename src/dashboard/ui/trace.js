// One trace: the steps from a message to its answer, as bars on a common time line.

import * as api from "./api.js";
import { fill, h, icon } from "./dom.js";
import { millis, moment } from "./format.js";
import { address } from "./router.js";
import { strings } from "./strings.js";

const words = strings.activity;
/** A bar that is thinner cannot be seen. */
const WIDTH_PERCENT_MIN = 0.8;

/**
 * @typedef {{ id: string, type: string, title: string, output: string, metadata?: Record<string, any>, span_id: string,
 *   parent_span_id: string, started_at: string, ended_at: string, duration_ms: number }} Span
 * @typedef {{ allowed: boolean, reason: string, tier: number, time: string, tool: string }} Decision
 */

/** @param {HTMLElement} place @param {string} traceId */
export async function show(place, traceId) {
  const back = h("a", { id: "trace-back", class: "button quiet", href: address("activity") }, icon("back"), words.back);
  fill(place, back, h("h2", {}, words.trace));
  const trace = await api.get(`trace/${encodeURIComponent(traceId)}`);
  /** @type {Span[]} */
  const spans = [...(trace.spans ?? [])].sort((a, b) => a.started_at.localeCompare(b.started_at) || a.duration_ms - b.duration_ms);
  if (spans.length === 0) return place.append(h("p", { class: "empty" }, words.traceNone));
  const from = Math.min(...spans.map((span) => Date.parse(span.started_at)));
  const to = Math.max(...spans.map((span) => Date.parse(span.ended_at)), from + 1);
  place.append(
    h("p", { class: "muted" }, summary(trace, from, to)),
    h("ol", { id: "trace-spans", class: "spans" }, spans.map((span) => step(span, from, to))),
    ...decisions(trace.policy_decisions ?? []));
}

/** @param {any} trace @param {number} from @param {number} to */
function summary(trace, from, to) {
  const task = trace.task;
  const parts = [moment(new Date(from).toISOString()), millis(to - from)];
  if (task) parts.push(task.channel, task.status);
  if (task?.total_tokens) parts.push(words.tokens(task.total_tokens));
  return parts.join(" · ");
}

/** @param {Span} span @param {number} from @param {number} to */
function step(span, from, to) {
  const scale = 100 / (to - from);
  const width = Math.max(span.duration_ms * scale, WIDTH_PERCENT_MIN);
  const left = Math.min((Date.parse(span.started_at) - from) * scale, 100 - width);
  const bar = h("span", { class: "bar", "data-kind": span.type.toLowerCase() });
  bar.style.setProperty("--from", `${left}%`);
  bar.style.setProperty("--width", `${width}%`);
  return h("li", {}, h("details", {},
    h("summary", {},
      h("span", { class: "span-head" },
        h("span", { class: "badge" }, span.type),
        h("span", { class: "span-text" }, span.output || span.title),
        h("span", { class: "muted small" }, span.duration_ms > 0 ? millis(span.duration_ms) : "")),
      h("span", { class: "track" }, bar)),
    h("p", { class: "muted small" }, `${span.title} · ${moment(span.started_at)}`),
    span.metadata && h("pre", { "aria-label": words.metadata }, JSON.stringify(span.metadata, null, 2))));
}

/** @param {Decision[]} list */
function decisions(list) {
  if (list.length === 0) return [];
  const line = (/** @type {Decision} */ { tool, tier, allowed, reason }) =>
    h("li", {}, `${tool} (${tier}): ${allowed ? words.allowed : words.denied}, ${reason}`);
  return [h("h3", {}, words.policy), h("ul", {}, list.map(line))];
}
