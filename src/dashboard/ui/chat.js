// The conversation: what was said, the growing answer, and questions for permission.

import { call, stream } from "./api.js";
import { byId, element } from "./dom.js";

const ROUTES = { intent: "answered by the house itself", local: "answered by a model in the house", remote: "answered by a model on the internet" };
let user = null;
/** The newest event that was looked at for reminders. */
let cursor = null;

/** Finds or makes the person who chats here, and shows what was said before. */
export async function openChat() {
  user = await call("POST", "webusers", { name: "Home" });
  byId("chat-log").replaceChildren();
  const said = await call("GET", `sessions/${encodeURIComponent(`webui:${user.id}`)}?limit=30`).catch(() => null);
  for (const message of said?.messages ?? []) show(message.content, message.role === "user");
  if (!said) show("Hello! I can switch what is in this home, set timers and reminders, and remember things. Ask “what can you do?”.", false);
  await refreshApprovals();
}

function show(text, mine) {
  const line = element("li", { class: mine ? "mine" : "" }, text);
  byId("chat-log").append(line);
  line.scrollIntoView({ block: "end" });
  return line;
}

export function startChat() {
  byId("chat-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const input = /** @type {HTMLInputElement} */ (byId("chat-input"));
    const message = input.value.trim();
    if (!message) return;
    input.value = "";
    show(message, true);
    const line = show("…", false);
    line.setAttribute("aria-busy", "true");
    let text = "";
    try {
      await stream("webchat/send", { web_user_id: user.id, message }, (name, data) => {
        if (name === "text") line.firstChild.textContent = (text += data.text);
        else if (name === "restart") text = "";
        else if (name === "tool") line.firstChild.textContent = text || `Using ${data.tool}…`;
        else if (name === "error") throw new Error(data.error);
        else if (name === "done") {
          line.firstChild.textContent = data.reply;
          line.append(element("span", { class: "soft route", "data-route": data.route }, ROUTES[data.route] ?? data.route));
        }
      });
    } catch (problem) {
      line.firstChild.textContent = problem.message;
      line.classList.add("error");
    }
    line.removeAttribute("aria-busy");
    line.scrollIntoView({ block: "end" });
    await refreshApprovals();
  });
}

/** Shows reminders that came due and questions that came up meanwhile. */
export async function refreshChat() {
  await refreshApprovals();
  if (cursor === null) cursor = (await call("GET", "timeline?limit=1"))?.[0].id ?? 0;
  const fresh = (await call("GET", `timeline?after=${cursor}&limit=200`)) ?? [];
  for (const event of fresh) {
    cursor = event.id;
    if (event.classification.endsWith("status=reminder")) show(`⏰ ${event.content_text}`, false);
  }
}

/** Shows what waits for a yes or no. */
async function refreshApprovals() {
  const pending = await call("GET", "approvals/pending");
  const answer = (id, approved) => async () => {
    await call("POST", `approvals/${id}`, { approved }).catch(() => {});
    await refreshApprovals();
  };
  byId("approvals").replaceChildren(...pending.map((request) => element("div", { class: "approval" },
    element("p", {}, `May I use ${request.tool}? ${request.arguments}`),
    element("button", { onclick: answer(request.approval_id, true) }, "Allow"), " ",
    element("button", { class: "quiet", onclick: answer(request.approval_id, false) }, "Deny"))));
}
