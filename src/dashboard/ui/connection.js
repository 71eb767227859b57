// Whether the house can be reached. While it cannot, this tries again by itself and tells whoever listens when it is back.

const WAIT_MS_MIN = 1000;
const WAIT_MS_MAX = 10000;

const target = new EventTarget();
let online = true;
let waitMs = WAIT_MS_MIN;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

/** Says how the last request went. @param {boolean} reached */
export function report(reached) {
  if (reached === online) return;
  online = reached;
  waitMs = WAIT_MS_MIN;
  clearTimeout(timer);
  if (!online) timer = setTimeout(probe, waitMs);
  target.dispatchEvent(new Event("change"));
}

async function probe() {
  try {
    await fetch("/api/v1/status", { cache: "no-store", credentials: "same-origin" });
    report(true);
  } catch {
    waitMs = Math.min(waitMs * 2, WAIT_MS_MAX);
    timer = setTimeout(probe, waitMs);
  }
}

export function isOnline() {
  return online;
}

/** @param {() => void} listener */
export function onChange(listener) {
  target.addEventListener("change", listener);
}

/** Resolves when the house can be reached, at once when it can. @returns {Promise<void>} */
export function whenOnline() {
  if (online) return Promise.resolve();
  return new Promise((resolve) => {
    const listener = () => {
      if (!online) return;
      target.removeEventListener("change", listener);
      resolve();
    };
    target.addEventListener("change", listener);
  });
}

/** Tries now instead of at the next turn; the browser says that a network came up. */
window.addEventListener("online", () => {
  if (online) return;
  clearTimeout(timer);
  probe();
});
