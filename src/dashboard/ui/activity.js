// What happened, newest first; a trace opens on demand.

import { call } from "./api.js";
import { byId, element, when } from "./dom.js";

export async function showActivity() {
  const events = (await call("GET", "timeline?limit=60")) ?? [];
  const list = byId("activity-list");
  if (list.querySelector(".spans")) return;
  const lines = events.map((event) => {
    const line = element("li", {}, element("span", { class: "soft" }, `${when(event.timestamp)} · ${event.classification} `), element("div", {}, event.content_text));
    line.append(element("button", { class: "quiet", onclick: () => openTrace(line, event.trace_id) }, "Trace"));
    return line;
  });
  list.replaceChildren(...(lines.length ? lines : [element("li", { class: "soft" }, "Nothing has happened yet.")]));
}

async function openTrace(line, id) {
  const open = line.querySelector(".spans");
  if (open) return open.remove();
  const trace = await call("GET", `trace/${encodeURIComponent(id)}`);
  const spans = [...trace.spans].reverse();
  line.append(element("div", { class: "spans" }, ...spans.map((span) => element("div", {}, element("strong", {}, span.type), ` ${span.time} ${span.duration} `, element("span", { class: "soft" }, span.output)))));
}
