// Sending one message and following its answer, through lost connections, exactly once: every try carries the same key.

import * as api from "./api.js";
import * as connection from "./connection.js";
import { events } from "./sse.js";
import { strings } from "./strings.js";

const TRIES_MAX = 20;
const POLL_MS = 1000;
const POLL_MS_MAX = 15 * 60 * 1000;
const PAUSE_MS = 1000;

/** @typedef {import("./chat-message.js").Reply} Reply */

/**
 * @typedef {{ reply: string, route?: string, trace_id?: string, task_id?: string, approval_id?: string }} Answer
 */

/**
 * @param {number} userId @param {string} message @param {string} key @param {Reply} reply
 * @returns {Promise<Answer>}
 */
export async function ask(userId, message, key, reply) {
  for (let tries = 0; tries < TRIES_MAX; tries += 1) {
    try {
      const answer = await once(userId, message, key, reply);
      if (answer) return answer;
      // The connection ended before the answer did.
      connection.report(false);
    } catch (error) {
      if (!(error instanceof api.ApiError) || error.status !== 0) throw error;
    }
    reply.waitForConnection();
    await Promise.all([connection.whenOnline(), sleep(PAUSE_MS)]);
    reply.restart();
  }
  throw new api.ApiError(0, strings.chat.lost);
}

/** @param {number} userId @param {string} message @param {string} key @param {Reply} reply @returns {Promise<Answer | null>} */
async function once(userId, message, key, reply) {
  const body = { web_user_id: userId, message };
  const response = await api.stream("webchat/send", body, { "Idempotency-Key": key });
  if (!response.headers.get("Content-Type")?.startsWith("text/event-stream") || !response.body) {
    const queued = await response.json().catch(() => null);
    return queued?.task_id ? await whenDone(queued.task_id) : null;
  }
  try {
    for await (const { event, data } of events(response.body)) {
      if (event === "text") reply.grow(String(data.text ?? ""));
      else if (event === "restart") reply.restart();
      else if (event === "tool") reply.use(String(data.tool ?? ""));
      else if (event === "done") return data;
      else if (event === "error") throw new api.ApiError(200, String(data.error ?? strings.errors.odd), data.hint);
    }
  } catch (error) {
    if (error instanceof api.ApiError) throw error;
    // Reading failed: the same as an early end.
  }
  return null;
}

/** Waits for a task that goes on without this page, such as one that waited for approval. @param {string} taskId @returns {Promise<Answer>} */
export async function whenDone(taskId) {
  for (let waited = 0; waited < POLL_MS_MAX; waited += POLL_MS) {
    await connection.whenOnline();
    const task = await api.get(`tasks/${encodeURIComponent(taskId)}`).catch(unlessOffline);
    const isOver = task?.status === "completed" || task?.status === "failed";
    if (isOver) {
      const reply = task.content_out || task.error_text || "";
      return { reply, route: task.status === "completed" ? task.route : undefined, trace_id: task.trace_id, task_id: taskId };
    }
    await sleep(POLL_MS);
  }
  throw new api.ApiError(0, strings.chat.lost);
}

/** @param {unknown} error */
function unlessOffline(error) {
  if (error instanceof api.ApiError && error.status === 0) return null;
  throw error;
}

/** @param {number} ms @returns {Promise<void>} */
function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
