// What happens in the house, as it happens: new rows of the timeline, given to whoever listens.

import * as api from "./api.js";
import * as connection from "./connection.js";

const WAIT_MS = 2000;
const WAIT_HIDDEN_MS = 20000;
const ROWS_MAX = 200;

/**
 * @typedef {{ id: number, event_id: string, trace_id: string, span_id: string, timestamp: string, sender_id: string,
 *   sender_name: string, event_type: string, content_text: string, classification: string, authorized: boolean,
 *   metadata?: string }} Row
 */

/** @type {Set<(rows: Row[]) => void>} */
const listeners = new Set();
let cursor = -1;
let generation = 0;

/** Gives new rows to `listener`, oldest first. @param {(rows: Row[]) => void} listener */
export function listen(listener) {
  listeners.add(listener);
}

/** Begins with what happens from now on. */
export function start() {
  generation += 1;
  cursor = -1;
  follow(generation);
}

export function stop() {
  generation += 1;
}

/** @param {number} mine */
async function follow(mine) {
  while (mine === generation) {
    await connection.whenOnline();
    const isFull = await step().catch(() => false);
    if (!isFull) await pause();
  }
}

/** Reads once; true when there may be more. */
async function step() {
  if (cursor < 0) {
    const newest = await api.get("timeline?limit=1");
    cursor = newest?.[0]?.id ?? 0;
    return false;
  }
  /** @type {Row[]} */
  const rows = (await api.get(`timeline?after=${cursor}&limit=${ROWS_MAX}`)) ?? [];
  const fresh = rows.filter((row) => row.id > cursor);
  if (fresh.length === 0) return false;
  cursor = fresh[fresh.length - 1].id;
  for (const listener of listeners) listener(fresh);
  return fresh.length === ROWS_MAX;
}

/** Waits, or less when somebody looks again. @returns {Promise<void>} */
function pause() {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", done);
      resolve();
    };
    const timer = setTimeout(done, document.hidden ? WAIT_HIDDEN_MS : WAIT_MS);
    document.addEventListener("visibilitychange", done);
  });
}

/** The metadata of a row; empty when it has none. @param {Row} row @returns {Record<string, any>} */
export function metadata(row) {
  try {
    return JSON.parse(row.metadata || "{}") ?? {};
  } catch {
    return {};
  }
}
