// Forgetting everything: asked for twice, because there is no way back.

import * as api from "./api.js";
import { fill, h } from "./dom.js";
import * as owner from "./owner.js";
import { strings } from "./strings.js";
import { busy } from "./toast.js";

const words = strings.reset;
const LOOK_MS = 2000;

/** The form, folded away until it is wanted. @returns {HTMLElement} */
export function form() {
  return owner.card("reset", words.title, (_place, body, known) => fields(body, known.password_set));
}

/** @param {HTMLElement} body @param {boolean} hasPassword */
function fields(body, hasPassword) {
  const typed = h("input", { id: "reset-words", name: "words", autocomplete: "off", autocapitalize: "off", required: true });
  const name = h("input", { name: "username", type: "text", autocomplete: "username", value: "owner", hidden: true });
  const password = h("input", { id: "reset-password", name: "password", type: "password", autocomplete: "current-password", required: true });
  const go = h("button", { id: "reset-go", type: "submit", class: "danger" }, words.go);
  return h("form", {
    class: "form",
    onsubmit: (/** @type {Event} */ event) => {
      event.preventDefault();
      busy(go, async () => {
        const wish = hasPassword ? { words: typed.value, password: password.value } : { words: typed.value };
        await api.post("factory-reset", wish);
        fill(body, h("p", { id: "reset-begun", role: "status" }, words.begun));
        whenNew();
      });
    },
  },
    h("p", {}, words.what),
    h("div", { class: "field" }, h("label", { for: "reset-words" }, words.label), typed),
    hasPassword && name,
    hasPassword && h("div", { class: "field" }, h("label", { for: "reset-password" }, strings.login.password), password),
    go);
}

/** Shows the first page again as soon as there is a house that has no owner. */
async function whenNew() {
  await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  try {
    const response = await fetch("/api/v1/auth/verify", { cache: "no-store", credentials: "same-origin" });
    if (response.status === 401) return location.reload();
  } catch {
    // Not up again yet.
  }
  whenNew();
}
