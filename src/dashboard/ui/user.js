// Whose conversation this is: chosen once per browser, changed at will.

import * as api from "./api.js";
import { fill, h } from "./dom.js";
import { strings } from "./strings.js";
import { complain } from "./toast.js";

const words = strings.user;
const KEPT_AS = "kafclaw-user";

/** @typedef {{ id: number, name: string }} User */

/** @type {User | null} */
let current = null;

/** The person of this browser, when the house still knows them. @returns {Promise<User | null>} */
export async function load() {
  const id = kept();
  if (id === null) return (current = null);
  const users = await all();
  current = users.find((user) => user.id === id) ?? null;
  return current;
}

export function get() {
  return current;
}

/** Asks who is here. @param {HTMLElement} place @param {(user: User) => void} done */
export async function choose(place, done) {
  const users = await all();
  const take = (/** @type {User} */ user) => {
    current = user;
    keep(user.id);
    done(user);
  };
  const buttons = users.map((user) =>
    h("li", {}, h("button", { id: `user-choose-${user.id}`, type: "button", onclick: () => take(user) }, user.name)));
  const input = h("input", { id: "user-name", name: "name", autocomplete: "nickname", maxlength: 100, required: true });
  const form = h("form", {
    class: "joined",
    onsubmit: async (/** @type {Event} */ event) => {
      event.preventDefault();
      const name = input.value.trim();
      if (!name) return complain(new Error(words.missing));
      try {
        take(await api.post("webusers", { name }));
      } catch (error) {
        complain(error);
      }
    },
  }, input, h("button", { id: "user-create", type: "submit", class: "primary" }, words.button));
  fill(place, h("div", { id: "user-chooser", class: "card" },
    h("h2", {}, words.title),
    h("p", { class: "muted" }, users.length ? words.lead : words.first),
    users.length > 0 && h("ul", { id: "user-list", class: "chips" }, buttons),
    h("label", { for: "user-name" }, words.label),
    form));
  if (users.length === 0) input.focus();
}

/** @returns {Promise<User[]>} */
async function all() {
  return (await api.get("webusers")) ?? [];
}

function kept() {
  try {
    const id = Number(localStorage.getItem(KEPT_AS));
    return Number.isInteger(id) && id > 0 ? id : null;
  } catch {
    return null;
  }
}

/** @param {number} id */
function keep(id) {
  try {
    localStorage.setItem(KEPT_AS, String(id));
  } catch {
    // A browser that keeps nothing asks again next time.
  }
}
