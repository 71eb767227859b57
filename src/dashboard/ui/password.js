// Another password for the owner.

import * as api from "./api.js";
import { h } from "./dom.js";
import * as owner from "./owner.js";
import { strings } from "./strings.js";
import { busy, toast } from "./toast.js";

const words = strings.password;

/** The form, folded away until it is wanted. @returns {HTMLElement} */
export function form() {
  return owner.card("password", words.change, (place, _body, known) =>
    known.password_set ? fields(place, known.password_chars_min) : h("p", { class: "muted" }, words.none));
}

/** @param {HTMLDetailsElement} place @param {number} length */
function fields(place, length) {
  const name = h("input", { name: "username", type: "text", autocomplete: "username", value: "owner", hidden: true });
  const current = field("password-current", "current-password");
  const fresh = field("password-new", "new-password");
  const again = field("password-again", "new-password");
  const save = h("button", { id: "password-save", type: "submit", class: "primary" }, words.save);
  return h("form", {
    class: "form",
    onsubmit: (/** @type {Event} */ event) => {
      event.preventDefault();
      busy(save, async () => {
        if (Array.from(fresh.value).length < length) throw new Error(strings.setup.short(length));
        if (fresh.value !== again.value) throw new Error(strings.setup.different);
        await api.post("auth/password", { current: current.value, password: fresh.value });
        toast(words.saved);
        place.open = false;
      });
    },
  },
    name,
    labeled(words.current, current),
    labeled(`${strings.setup.password} · ${strings.setup.passwordHint(length)}`, fresh),
    labeled(strings.setup.again, again),
    save);
}

/** @param {string} id @param {string} autocomplete */
function field(id, autocomplete) {
  return h("input", { id, name: id, type: "password", autocomplete, required: true });
}

/** @param {string} text @param {HTMLInputElement} input */
function labeled(text, input) {
  return h("div", { class: "field" }, h("label", { for: input.id }, text), input);
}
