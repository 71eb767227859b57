// The page: login, the views, and a look at the house every few seconds.

import { call, whenLoggedOut } from "./api.js";
import { byId } from "./dom.js";
import { openChat, refreshChat, startChat } from "./chat.js";
import { showDevices } from "./devices.js";
import { showJobs, startJobs } from "./jobs.js";
import { showActivity } from "./activity.js";

const REFRESH_MS = 3000;
const VIEWS = { chat: refreshChat, devices: showDevices, jobs: showJobs, activity: showActivity };
let view = "chat";
let isIn = false;

function openView(name) {
  view = name in VIEWS ? name : "chat";
  for (const other of Object.keys(VIEWS)) {
    byId(`view-${other}`).hidden = other !== view;
    byId(`nav-${other}`).setAttribute("aria-current", other === view ? "page" : "false");
  }
  VIEWS[view]().catch(() => {});
}

function leave() {
  isIn = false;
  byId("house").hidden = true;
  byId("login").hidden = false;
  byId("login-token").focus();
}

async function enter() {
  isIn = true;
  byId("login").hidden = true;
  byId("house").hidden = false;
  await openChat();
  openView({ "/timeline": "activity", "/approvals": "chat" }[location.pathname] ?? "chat");
  byId("chat-input").focus();
}

async function look() {
  if (!isIn || document.hidden) return;
  try {
    const status = await call("GET", "status");
    const broker = { online: "", off: " · no broker set", connecting: " · connecting to the broker", offline: " · broker not connected" }[status.mqtt] ?? "";
    byId("health").textContent = `${status.devices === 1 ? "1 device" : `${status.devices} devices`}${broker}`;
    await VIEWS[view]();
  } catch { /* The banner says it; the next look may go better. */ }
}

whenLoggedOut(leave);
startChat();
startJobs();
for (const name of Object.keys(VIEWS)) byId(`nav-${name}`).addEventListener("click", () => openView(name));
byId("logout").addEventListener("click", async () => {
  await call("POST", "auth/logout").catch(() => {});
  leave();
});
byId("login-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const input = /** @type {HTMLInputElement} */ (byId("login-token"));
  try {
    await call("POST", "auth/login", { token: input.value.trim() });
    input.value = "";
    byId("login-error").textContent = "";
    await enter();
  } catch (problem) {
    byId("login-error").textContent = problem.message;
  }
});
setInterval(look, REFRESH_MS);
call("GET", "auth/verify").then(enter, leave);
