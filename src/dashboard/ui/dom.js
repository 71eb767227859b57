// Elements from data. Text is always text: nothing that others wrote becomes markup.

/** @param {string} id @returns {HTMLElement} */
export const byId = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/**
 * An element with properties and children.
 * @param {string} tag @param {Record<string, any>} [properties] @param {...(Node|string|null|undefined)} children
 */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "class") made.className = value;
    else if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  for (const child of children) if (child != null) made.append(child);
  return made;
}

/** A time as people read it. @param {string} text */
export const when = (text) => new Date(text).toLocaleString([], { dateStyle: "short", timeStyle: "medium" });
