// Timers, reminders and jobs.

import { call } from "./api.js";
import { byId, element, when } from "./dom.js";

export async function showJobs() {
  const jobs = (await call("GET", "jobs")).filter((job) => job.next_run_at);
  const cancel = (id) => async () => {
    await call("DELETE", `jobs/${id}`).catch(() => {});
    await showJobs();
  };
  const lines = jobs.map((job) => element("li", {}, element("strong", {}, job.label || job.text || job.category), ` ${when(job.next_run_at)} `,
    element("span", { class: "soft" }, job.cron ? `repeats ${job.cron}` : job.category), " ",
    element("button", { class: "quiet", onclick: cancel(job.id), "aria-label": `Cancel ${job.label || job.text}` }, "Cancel")));
  byId("jobs-list").replaceChildren(...(lines.length ? lines : [element("li", { class: "soft" }, "Nothing is set. Say “remind me at 7 to take out the trash” in the chat, or add one here.")]));
}

export function startJobs() {
  byId("jobs-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const value = (id) => /** @type {HTMLInputElement} */ (byId(id)).value.trim();
    const time = value("job-when");
    const schedule = time.split(/\s+/).length === 5 ? { cron: time } : /^[\d.]+\s*[smhd]/.test(time) ? { in: time } : { at: time };
    try {
      await call("POST", "jobs", { text: value("job-text"), label: value("job-text"), ...schedule });
      byId("jobs-error").textContent = "";
      /** @type {HTMLFormElement} */ (byId("jobs-form")).reset();
    } catch (problem) {
      byId("jobs-error").textContent = problem.message;
    }
    await showJobs();
  });
}
