// Requests to the house. The session travels in a cookie that scripts cannot read.

import * as connection from "./connection.js";
import { strings } from "./strings.js";

const ROOT = "/api/v1/";

/** What went wrong, in sentences for the person. */
export class ApiError extends Error {
  /** @param {number} status zero when the house was not reached @param {string} sentence @param {string} [hint] */
  constructor(status, sentence, hint) {
    super(hint ? `${asSentence(sentence)} ${asSentence(hint)}` : asSentence(sentence));
    this.status = status;
  }
}

/** @type {() => void} */
let signedOut = () => {};

/** Calls back when the house wants a login. @param {() => void} listener */
export function onSignedOut(listener) {
  signedOut = listener;
}

/** @param {string} path @returns {Promise<any>} */
export const get = (path) => json("GET", path);
/** @param {string} path @param {unknown} [body] @returns {Promise<any>} */
export const post = (path, body = {}) => json("POST", path, body);
/** @param {string} path @returns {Promise<any>} */
export const remove = (path) => json("DELETE", path);

/** Sends a file as it is. @param {string} path @param {Blob} file @returns {Promise<any>} */
export async function upload(path, file) {
  const response = await send("POST", path, file, { Accept: "application/json" });
  return response.json();
}

/** @param {string} method @param {string} path @param {unknown} [body] @returns {Promise<any>} */
async function json(method, path, body) {
  const response = await send(method, path, body, { Accept: "application/json" });
  try {
    const text = await response.text();
    return text ? JSON.parse(text) : null;
  } catch {
    throw new ApiError(response.status, strings.errors.odd);
  }
}

/**
 * A request whose answer comes as events; throws as the others do when it is refused.
 * @param {string} path @param {unknown} body @param {Record<string, string>} headers @returns {Promise<Response>}
 */
export function stream(path, body, headers) {
  return send("POST", path, body, { Accept: "text/event-stream", ...headers });
}

/** @param {string} method @param {string} path @param {unknown} body @param {Record<string, string>} headers */
async function send(method, path, body, headers) {
  /** @type {RequestInit} */
  const init = { method, headers, credentials: "same-origin", cache: "no-store" };
  if (body instanceof Blob) {
    init.body = body;
    headers["Content-Type"] = "application/octet-stream";
  } else if (body !== undefined) {
    init.body = JSON.stringify(body);
    headers["Content-Type"] = "application/json";
  }
  let response;
  try {
    response = await fetch(ROOT + path, init);
  } catch {
    connection.report(false);
    throw new ApiError(0, strings.errors.unreachable);
  }
  connection.report(true);
  if (response.ok) return response;
  const error = await refusal(response);
  if (response.status === 401 && !path.startsWith("auth/")) signedOut();
  throw error;
}

/** @param {Response} response @returns {Promise<ApiError>} */
async function refusal(response) {
  const text = await response.text().catch(() => "");
  const wait = Number(response.headers.get("Retry-After"));
  try {
    const { error, hint } = JSON.parse(text);
    return new ApiError(response.status, String(error), wait > 0 ? strings.errors.wait(wait) : hint);
  } catch {
    // With gateway.compat the old plain texts.
    return new ApiError(response.status, text.trim().slice(0, 200) || strings.errors.odd);
  }
}

/** @param {string} text */
function asSentence(text) {
  const trimmed = text.trim();
  const begun = trimmed.charAt(0).toUpperCase() + trimmed.slice(1);
  return /[.!?…]$/.test(begun) ? begun : `${begun}.`;
}

/** A key that makes repeats of one message one message. @returns {string} */
export function idempotencyKey() {
  // crypto.randomUUID exists on encrypted pages only, and a house is often reached without.
  const numbers = crypto.getRandomValues(new Uint8Array(16));
  return `web-${Array.from(numbers, (number) => number.toString(16).padStart(2, "0")).join("")}`;
}
