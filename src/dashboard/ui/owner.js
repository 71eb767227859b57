// Cards that are the owner's: folded away until they are wanted, because what they do is rare and grave.

import * as api from "./api.js";
import { fill, h } from "./dom.js";

/**
 * @typedef {{password_set: boolean, password_chars_min: number}} Owner
 */

/**
 * A card that opens with what `inside` makes for the owner as the house knows them; without an answer it stays closed.
 * @param {string} id @param {string} title
 * @param {(place: HTMLDetailsElement, body: HTMLElement, owner: Owner) => HTMLElement} inside
 * @returns {HTMLElement}
 */
export function card(id, title, inside) {
  const place = h("details", { id, class: "card" }, h("summary", {}, title));
  const body = h("div", {});
  place.append(body);
  place.addEventListener("toggle", async () => {
    if (!place.open) return fill(body);
    try {
      fill(body, inside(place, body, await api.get("auth/owner")));
    } catch {
      place.open = false;
    }
  });
  return place;
}
