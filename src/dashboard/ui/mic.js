// The microphone: speech becomes text in the composer, which the person reads before it is sent. The house listens; no other
// service hears it. Words appear while they are spoken where the browser can; the recording itself is the way that always works.

import * as api from "./api.js";
import { fill, h, icon } from "./dom.js";
import * as live from "./live.js";
import { strings } from "./strings.js";
import { complain, toast } from "./toast.js";

const words = strings.mic;
const ROUTE = "voice/transcribe";
/** What browsers record, best first: Chromium and Firefox, old Firefox, Safari. */
const KINDS = ["audio/webm;codecs=opus", "audio/ogg;codecs=opus", "audio/mp4"];
/** Nobody says more in one breath; a forgotten microphone goes off. */
const RECORDING_MS_MAX = 120_000;
/** Shorter ones are slips of the finger. */
const RECORDING_MS_MIN = 300;

/** Takes what was heard; as long as it is not done the next text takes its place. @typedef {(text: string, isDone: boolean) => void} Hear */

/**
 * The button, and the chooser of files behind it where the browser gives no microphone.
 * @param {Hear} hear @returns {HTMLElement}
 */
export function microphone(hear) {
  const file = h("input", {
    id: "chat-recording", type: "file", accept: "audio/*", capture: "user", hidden: true, tabindex: "-1", "aria-hidden": "true",
    onchange: () => {
      const [chosen] = file.files;
      file.value = "";
      if (chosen) understand(button, chosen, null, hear);
    },
  });
  const button = h("button", {
    id: "chat-mic", type: "button", class: "quiet round", "aria-pressed": "false",
    onclick: () => toggle(button, file, hear),
    onkeydown: (/** @type {KeyboardEvent} */ event) => {
      if (event.key === "Escape" && recording) cancel();
    },
  });
  look(button, "idle");
  return h("span", { class: "mic" }, button, file);
}

/** @type {{ recorder: MediaRecorder, started: number, timer: ReturnType<typeof setTimeout>, isKept: boolean } | null} */
let recording = null;
/** A microphone that the browser is asked for, until it is there. @type {{ isWanted: boolean } | null} */
let asking = null;

/** @param {HTMLButtonElement} button @param {HTMLInputElement} file @param {Hear} hear */
async function toggle(button, file, hear) {
  if (recording) return stop();
  if (asking) return;
  if (!canRecord()) {
    // Browsers give a microphone to encrypted pages only; a phone's own recorder works all the same.
    toast(window.isSecureContext ? words.unsupported : words.insecure, "bad");
    file.click();
    return;
  }
  const mine = (asking = { isWanted: true });
  /** @type {MediaStream | undefined} */
  let stream;
  /** @type {live.Live | null} */
  let listening = null;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1, noiseSuppression: true } });
    if (mine.isWanted) listening = await live.open(stream, ({ said, guess }) => hear(`${said} ${guess}`.trim(), false));
    if (mine.isWanted) return record(button, stream, listening, hear);
  } catch (error) {
    const isRefused = error instanceof DOMException && (error.name === "NotAllowedError" || error.name === "SecurityError");
    complain(new Error(isRefused ? words.refused : words.none));
  } finally {
    asking = null;
  }
  // The view was left meanwhile, or it cannot be recorded.
  for (const track of stream?.getTracks() ?? []) track.stop();
  if (!listening) return;
  listening.cancel();
  hear("", true);
}

function canRecord() {
  return window.isSecureContext && Boolean(navigator.mediaDevices?.getUserMedia) && typeof MediaRecorder === "function";
}

/** @param {HTMLButtonElement} button @param {MediaStream} stream @param {live.Live | null} listening @param {Hear} hear */
function record(button, stream, listening, hear) {
  const mimeType = KINDS.find((kind) => MediaRecorder.isTypeSupported(kind));
  const recorder = new MediaRecorder(stream, { ...(mimeType && { mimeType }), audioBitsPerSecond: 32_000 });
  /** @type {Blob[]} */
  const pieces = [];
  const mine = { recorder, started: performance.now(), timer: setTimeout(stop, RECORDING_MS_MAX), isKept: true };
  recorder.addEventListener("dataavailable", (event) => pieces.push(event.data));
  recorder.addEventListener("stop", () => {
    for (const track of stream.getTracks()) track.stop();
    clearTimeout(mine.timer);
    recording = null;
    look(button, "idle");
    const isShort = performance.now() - mine.started < RECORDING_MS_MIN;
    if (mine.isKept && !isShort) return understand(button, new Blob(pieces, { type: recorder.mimeType }), listening, hear);
    listening?.cancel();
    hear("", true);
    if (mine.isKept) toast(words.short, "bad");
  });
  // Pieces each second, so that little is lost if the browser is closed down on the way.
  recorder.start(1000);
  recording = mine;
  look(button, "recording");
}

function stop() {
  if (recording?.recorder.state === "recording") recording.recorder.stop();
}

/** Ends a recording that nobody wants any more, also when the view is left. */
export function cancel() {
  if (asking) asking.isWanted = false;
  if (!recording) return;
  recording.isKept = false;
  stop();
}

/** @param {HTMLButtonElement} button @param {Blob} blob @param {live.Live | null} listening @param {Hear} hear */
async function understand(button, blob, listening, hear) {
  look(button, "understanding");
  button.disabled = true;
  try {
    // What was not heard on the way may be in the recording.
    const text = (await listening?.finish()) || (await api.upload(ROUTE, blob)).text;
    hear(text, true);
    if (!text) toast(words.nothing, "bad");
  } catch (error) {
    hear("", true);
    complain(error);
  } finally {
    button.disabled = false;
    look(button, "idle");
  }
}

/** @param {HTMLButtonElement} button @param {"idle" | "recording" | "understanding"} state */
function look(button, state) {
  button.dataset.state = state;
  button.setAttribute("aria-pressed", String(state === "recording"));
  button.setAttribute("aria-label", words[state]);
  button.title = words[state];
  button.setAttribute("aria-busy", String(state === "understanding"));
  fill(button, icon(state === "recording" ? "stop" : "mic"));
}
