// Words while they are spoken: sound goes to the house in small pieces, and each time the words so far come back.

import * as api from "./api.js";

const ROUTE = "voice/live";
/** What is sent at once when the house was slow: twenty seconds. */
const PIECES_MAX = 80;
/** How long the browser may take to hand its last sound over; one that was put to sleep never does. */
const LAST_MS_MAX = 1_000;
/** How long it may take to let sound through; one that was not asked by a person never does. */
const RESUME_MS_MAX = 5_000;

/** @typedef {{ said: string, guess: string }} Words */

/** A microphone that the house listens to. */
export class Live {
  /** @param {AudioContext} context @param {MediaStream} stream @param {(words: Words) => void} tell */
  constructor(context, stream, tell) {
    this.context = context;
    this.tell = tell;
    /** Sound that waits to be sent. @type {Int16Array[]} */
    this.waiting = [];
    this.isOver = false;
    this.isWanted = true;
    /** Given by the house with the first piece. */
    this.id = "";
    this.wake = () => {};
    this.node = new AudioWorkletNode(context, "pieces", { numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit" });
    this.node.port.onmessage = ({ data: { piece, isLast } }) => {
      if (piece.length) this.waiting.push(piece);
      this.isOver ||= isLast;
      this.wake();
    };
    context.createMediaStreamSource(stream).connect(this.node);
    /** The text in the end; null when something failed. @type {Promise<string | null>} */
    this.text = this.send().catch(() => null);
  }

  /** One piece after the other: what is spoken while one is on its way goes with the next one. */
  async send() {
    const { id } = await api.post(ROUTE);
    this.id = id;
    while (this.isWanted && (this.waiting.length || !this.isOver)) {
      if (!this.waiting.length) {
        await new Promise((resolve) => (this.wake = () => resolve(undefined)));
        continue;
      }
      const words = await api.upload(`${ROUTE}/${id}`, new Blob(this.waiting.splice(0, PIECES_MAX)));
      if (this.isWanted && !this.isOver) this.tell(words);
    }
    if (this.isWanted) return (await api.post(`${ROUTE}/${id}/end`)).text;
    await api.remove(`${ROUTE}/${id}`);
    return null;
  }

  /** Nothing follows. @returns {Promise<string | null>} all that was said, or null when another way has to be gone */
  async finish() {
    this.node.port.postMessage("end");
    const late = setTimeout(() => {
      this.isOver = true;
      this.wake();
    }, LAST_MS_MAX);
    const text = await this.text;
    clearTimeout(late);
    await this.context.close();
    return text;
  }

  /** Nobody wants the words any more. */
  cancel() {
    this.isWanted = false;
    this.wake();
    this.context.close();
  }
}

/**
 * None where the browser cannot.
 * @param {MediaStream} stream @param {(words: Words) => void} tell hears the words so far
 * @returns {Promise<Live | null>}
 */
export async function open(stream, tell) {
  if (typeof AudioWorkletNode !== "function") return null;
  /** @type {AudioContext | undefined} */
  let context;
  try {
    context = new AudioContext();
    await context.audioWorklet.addModule(new URL("live-worklet.js", import.meta.url));
    await Promise.race([context.resume(), new Promise((resolve) => setTimeout(resolve, RESUME_MS_MAX))]);
    if (context.state === "running") return new Live(context, stream, tell);
  } catch {
    // Then the recording goes to the house as a whole.
  }
  context?.close();
  return null;
}
