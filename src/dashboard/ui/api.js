// The house's API, and what happens when it does not answer.

import { byId } from "./dom.js";

/** Called when the session is over. */
let onLoggedOut = () => {};
/** @param {() => void} action */
export const whenLoggedOut = (action) => { onLoggedOut = action; };

export class ApiError extends Error {}

/**
 * Calls a route; the error is a sentence.
 * @param {string} method @param {string} path @param {any} [body]
 */
export async function call(method, path, body) {
  const response = await send(method, path, body, "application/json");
  const text = await response.text();
  return text ? JSON.parse(text) : null;
}

/**
 * Calls a route and hands over server-sent events as they come.
 * @param {string} path @param {any} body @param {(name: string, data: any) => void} onEvent
 */
export async function stream(path, body, onEvent) {
  const response = await send("POST", path, body, "text/event-stream");
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const field = (name) => event.split("\n").find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
      onEvent(field("event"), JSON.parse(field("data") ?? "null"));
    }
  }
}

async function send(method, path, body, accept) {
  let response;
  try {
    response = await fetch(`/api/v1/${path}`, {
      method,
      headers: { Accept: accept, ...(body === undefined ? {} : { "Content-Type": "application/json" }) },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    byId("offline").hidden = false;
    throw new ApiError("The house does not answer.");
  }
  byId("offline").hidden = true;
  if (response.status === 401 && path !== "auth/login") onLoggedOut();
  if (!response.ok) {
    const problem = await response.json().catch(() => ({ error: `status ${response.status}` }));
    throw new ApiError(problem.hint ? `${problem.error} (${problem.hint})` : problem.error);
  }
  return response;
}
