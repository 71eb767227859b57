// Signing in with the house's token.

import * as api from "./api.js";
import { byId, fill, h } from "./dom.js";
import { strings } from "./strings.js";

const words = strings.login;

/** Whether the browser is signed in, or the house asks for no login. @returns {Promise<boolean>} */
export async function isSignedIn() {
  try {
    const answer = await api.get("auth/verify");
    return answer?.valid === true;
  } catch (error) {
    if (error instanceof api.ApiError && [401, 403, 429].includes(error.status)) return false;
    throw error;
  }
}

/** Shows the form; calls back when the login succeeded. @param {() => void} done @param {string} [note] */
export function show(done, note = "") {
  const input = h("input", {
    id: "login-token", name: "token", type: "password", autocomplete: "current-password", autocapitalize: "off",
    spellcheck: "false", required: true, "aria-describedby": "login-error", enterkeyhint: "go",
  });
  const reveal = h("button", {
    id: "login-show", type: "button", class: "quiet", "aria-controls": "login-token", "aria-pressed": "false",
    onclick: () => toggle(input, reveal),
  }, words.show);
  const button = h("button", { id: "login-button", type: "submit", class: "primary" }, words.button);
  const error = h("p", { id: "login-error", class: "error", role: "alert" }, note);
  const form = h("form", {
    id: "login-form", class: "card login", novalidate: true,
    onsubmit: (/** @type {Event} */ event) => {
      event.preventDefault();
      submit(input, button, error, done);
    },
  },
    h("img", { src: "/assets/icon.svg", alt: "", width: 56, height: 56 }),
    h("h1", {}, words.title),
    h("p", { class: "muted" }, words.lead),
    h("label", { for: "login-token" }, words.label),
    h("div", { class: "joined" }, input, reveal),
    error,
    button,
    h("details", {},
      h("summary", {}, words.where),
      h("p", {}, words.how),
      h("pre", {}, h("code", {}, words.command)),
      h("p", { class: "muted" }, words.after)),
  );
  const place = byId("login");
  fill(place, form);
  place.hidden = false;
  byId("frame").hidden = true;
  input.focus();
}

export function hide() {
  const place = byId("login");
  fill(place);
  place.hidden = true;
}

/** @param {HTMLInputElement} input @param {HTMLElement} reveal */
function toggle(input, reveal) {
  const isShown = input.type === "text";
  input.type = isShown ? "password" : "text";
  reveal.textContent = isShown ? words.show : words.hide;
  reveal.setAttribute("aria-pressed", String(!isShown));
}

/** @param {HTMLInputElement} input @param {HTMLButtonElement} button @param {HTMLElement} error @param {() => void} done */
async function submit(input, button, error, done) {
  const token = input.value.trim();
  if (!token) {
    error.textContent = words.missing;
    input.focus();
    return;
  }
  button.disabled = true;
  button.textContent = words.busy;
  error.textContent = "";
  try {
    await api.post("auth/login", { token });
    input.value = "";
    done();
  } catch (problem) {
    error.textContent = problem instanceof Error ? problem.message : String(problem);
    input.select();
  } finally {
    button.disabled = false;
    button.textContent = words.button;
  }
}
