// Making elements. Data becomes text or attributes, never markup.

const SVG = "http://www.w3.org/2000/svg";

/**
 * @typedef {string | number | Node | null | undefined | false} Child
 */

/**
 * An element: `on…` are listeners, `true` sets an attribute, `false`, `null` and `undefined` leave it out.
 * @param {string} tag
 * @param {Record<string, any>} [props]
 * @param {...(Child | Child[])} children
 * @returns {any}
 */
export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "value") /** @type {any} */ (node).value = value;
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, String(value));
  }
  append(node, children.flat());
  return node;
}

/** @param {Node} node @param {Child[]} children */
function append(node, children) {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    node.appendChild(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/** Replaces what is inside. @param {Element} node @param {...(Child | Child[])} children */
export function fill(node, ...children) {
  node.replaceChildren();
  append(node, children.flat());
}

/** Sets text only when it differs, so that screen readers and selections stay calm. @param {Element} node @param {string} text */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** @param {string} id @returns {any} */
export function byId(id) {
  return document.getElementById(id);
}

const PATHS = {
  chat: "M4 5h16v11H9l-5 4z",
  devices: "M9 18h6M10 21h4M12 3a6 6 0 0 1 4 10.5c-.7.7-1 1.500-1 2.500H9c0-1-.3-1.800-1-2.500A6 6 0 0 1 12 3z",
  activity: "M3 12h4l3-8 4 16 3-8h4",
  memory: "M6 4h12v17l-6-4-6 4z",
  jobs: "M12 7v5l3 2M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z",
  approvals: "M12 3l8 3v6c0 4.500-3.200 7.800-8 9-4.800-1.200-8-4.500-8-9V6zM9 12l2 2 4-4",
  status: "M4 13a8 8 0 1 1 16 0M12 13l4-4M4 18h16",
  send: "M4 12l16-8-6 16-3-6z",
  mic: "M12 3a3 3 0 0 1 3 3v5a3 3 0 0 1-6 0V6a3 3 0 0 1 3-3zM6 11a6 6 0 0 0 12 0M12 17v4",
  stop: "M7 7h10v10H7z",
  edit: "M4 20h4L19 9l-4-4L4 16z",
  light: "M9 18h6M10 21h4M12 3a6 6 0 0 1 4 10.500c-.7.7-1 1.500-1 2.500H9c0-1-.3-1.800-1-2.500A6 6 0 0 1 12 3z",
  switch: "M12 4v8M7 7a7 7 0 1 0 10 0",
  cover: "M4 4h16M6 4v16M18 4v16M6 9h12M6 14h12",
  lock: "M6 11h12v9H6zM9 11V8a3 3 0 0 1 6 0v3",
  climate: "M10 14V5a2 2 0 1 1 4 0v9a4 4 0 1 1-4 0z",
  sensor: "M12 20v-7M8 16a6 6 0 1 1 8 0",
  back: "M15 5l-7 7 7 7",
};

/** A line icon; decoration only, so it is hidden from screen readers. @param {keyof typeof PATHS | string} name */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[/** @type {keyof typeof PATHS} */ (name)] ?? PATHS.sensor);
  svg.appendChild(path);
  return svg;
}
