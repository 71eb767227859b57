// Which view is open. It stands behind the # of the address, so that back, forward and bookmarks work.

/** @typedef {{ view: string, argument: string }} Place */

const NAMES = ["chat", "devices", "memory", "activity", "jobs", "approvals", "status"];
/** KafClaw's addresses of pages that are views here. */
const OLD_PATHS = { "/timeline": "activity", "/approvals": "approvals", "/group": "status" };

/** @returns {Place} */
export function place() {
  const [view = "", ...rest] = location.hash.replace(/^#\/?/, "").split("/");
  if (NAMES.includes(view)) return { view, argument: decode(rest.join("/")) };
  const path = location.pathname.replace(/\/$/, "");
  return { view: OLD_PATHS[/** @type {keyof typeof OLD_PATHS} */ (path)] ?? "chat", argument: "" };
}

/** @param {string} view @param {string} [argument] */
export function address(view, argument) {
  return argument ? `#/${view}/${encodeURIComponent(argument)}` : `#/${view}`;
}

/** @param {string} view @param {string} [argument] */
export function open(view, argument) {
  location.hash = address(view, argument);
}

/** @param {(place: Place) => void} listener */
export function onMove(listener) {
  window.addEventListener("hashchange", () => listener(place()));
}

/** @param {string} text */
function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
