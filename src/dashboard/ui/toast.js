// A short word at the edge of the screen that goes away by itself.

import { byId } from "./dom.js";

const SHOWN_MS = 5000;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

/** @param {string} text @param {"good" | "bad"} [mood] */
export function toast(text, mood = "good") {
  const node = byId("toast");
  node.textContent = text;
  node.dataset.mood = mood;
  node.classList.add("shown");
  clearTimeout(timer);
  timer = setTimeout(() => node.classList.remove("shown"), SHOWN_MS);
}

/** Says what went wrong. @param {unknown} error */
export function complain(error) {
  toast(error instanceof Error ? error.message : String(error), "bad");
}

/** Runs `work` with `button` disabled, and says what went wrong. @param {any} button @param {() => Promise<void>} work */
export async function busy(button, work) {
  button.disabled = true;
  button.setAttribute("aria-busy", "true");
  try {
    await work();
  } catch (error) {
    complain(error);
  } finally {
    button.disabled = false;
    button.removeAttribute("aria-busy");
  }
}
