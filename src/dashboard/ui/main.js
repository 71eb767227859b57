// Starts the page: login first, then the frame with its views.

import * as activity from "./activity.js";
import * as api from "./api.js";
import * as approvals from "./approvals.js";
import * as chat from "./chat.js";
import * as connection from "./connection.js";
import * as devices from "./devices.js";
import { byId, fill, h, icon } from "./dom.js";
import * as feed from "./feed.js";
import * as jobs from "./jobs.js";
import * as login from "./login.js";
import * as memory from "./memory.js";
import * as router from "./router.js";
import * as status from "./status.js";
import { strings } from "./strings.js";
import { complain, toast } from "./toast.js";

/**
 * A view draws into its section once (`mount`), and is told when it is looked at and when not.
 * @typedef {{ mount: (section: HTMLElement) => void, show: (argument: string) => unknown, hide: () => void }} View
 */

/** @type {Record<string, View>} */
const views = { chat, devices, memory, activity, jobs, approvals, status };
/** The view that is open. */
let current = "";
let isIn = false;

function build() {
  fill(byId("nav"), Object.keys(views).map((name) =>
    h("a", { id: `nav-${name}`, href: router.address(name) }, icon(name),
      h("span", {}, strings.nav[/** @type {keyof typeof strings.nav} */ (name)]),
      name === "approvals" && h("span", { id: "approvals-count", class: "count", hidden: true }))));
  for (const [name, view] of Object.entries(views)) {
    const section = h("section", { id: `view-${name}`, class: `view view-${name}`, "aria-labelledby": "title", hidden: true });
    byId("main").append(section);
    view.mount(section);
  }
  router.onMove(() => isIn && open());
  connection.onChange(drawConnection);
  status.onLogout(() => signOut(""));
  api.onSignedOut(() => isIn && signOut(strings.errors.signedOut));
  drawConnection();
}

async function begin() {
  try {
    if (await login.isSignedIn()) signIn();
    else await login.show(signIn);
  } catch {
    await connection.whenOnline();
    begin();
  }
}

function signIn() {
  isIn = true;
  login.hide();
  byId("frame").hidden = false;
  feed.start();
  approvals.refresh().catch(complain);
  open();
}

/** @param {string} note */
function signOut(note) {
  isIn = false;
  feed.stop();
  views[current]?.hide();
  login.show(signIn, note).catch(begin);
}

/** Opens the view that the address names. */
async function open() {
  const { view, argument } = router.place();
  if (current !== view) views[current]?.hide();
  const isNew = current !== view;
  current = view;
  for (const name of Object.keys(views)) {
    byId(`view-${name}`).hidden = name !== view;
    if (name === view) byId(`nav-${name}`).setAttribute("aria-current", "page");
    else byId(`nav-${name}`).removeAttribute("aria-current");
  }
  const word = strings.nav[/** @type {keyof typeof strings.nav} */ (view)];
  byId("title").textContent = word;
  document.title = `${word} · ${strings.title}`;
  if (isNew) byId("main").scrollTop = 0;
  try {
    await views[view]?.show(argument);
  } catch (error) {
    if (isIn) complain(error);
  }
}

function drawConnection() {
  const isOnline = connection.isOnline();
  const node = byId("connection");
  const was = node.dataset.state;
  node.dataset.state = isOnline ? "online" : "offline";
  node.textContent = isOnline ? strings.connection.online : strings.connection.offline;
  const banner = byId("offline");
  banner.hidden = isOnline;
  banner.textContent = isOnline ? "" : strings.connection.banner;
  if (!isOnline || was !== "offline") return;
  toast(strings.connection.back);
  if (isIn) open();
}

build();
begin();
