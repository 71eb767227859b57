// The control of one entity: what it shows and what can be done with it.

import { h, setText } from "./dom.js";
import { rounded } from "./format.js";
import { strings } from "./strings.js";

const words = strings.devices;
/** Kinds that are read, not switched. */
const READ_ONLY = ["sensor", "binary_sensor", "text"];

/**
 * @typedef {{ r: number, g: number, b: number }} Rgb
 * @typedef {{ value: string | null, brightness_percent: number | null, color: Rgb | null, color_temperature_k: number | null,
 *   position_percent: number | null, current_temperature: number | null, target_temperature: number | null,
 *   mode: string | null }} State
 * @typedef {{ on_off: boolean, brightness: boolean, color: boolean, color_temperature_k: [number, number] | null,
 *   position: boolean, range: { min: number, max: number, step: number } | null, options: string[] }} Abilities
 * @typedef {{ id: string, name: string, kind: string, device_class: string | null, unit: string | null,
 *   abilities: Abilities, state: State, available: boolean }} Entity
 * @typedef {(action: Record<string, unknown>) => void} Act
 * @typedef {{ node: HTMLElement, update: (entity: Entity) => void }} Control
 */

/** @param {Entity} entity */
export function isReading(entity) {
  return READ_ONLY.includes(entity.kind);
}

/** @param {Entity} entity @param {string} label @param {Act} act @returns {Control} */
export function control(entity, label, act) {
  // The label stands under the device's name; a screen reader jumps between controls and needs the whole name.
  const parts = isReading(entity) ? [] : partsOf(entity, entity.name, act);
  const value = h("span", { class: "value" });
  const node = h("div", { id: `entity-${entity.id}`, class: "entity" },
    h("div", { class: "entity-head" }, h("span", { class: "entity-name" }, label), value, parts.filter((part) => part.isHead).map((part) => part.node)),
    parts.filter((part) => !part.isHead).map((part) => part.node));
  const update = (/** @type {Entity} */ now) => {
    node.dataset.value = now.state.value ?? "";
    node.classList.toggle("unavailable", !now.available);
    setText(value, shown(now));
    for (const part of parts) part.update(now);
  };
  update(entity);
  return { node, update };
}

/** The state in words. @param {Entity} entity */
function shown(entity) {
  const { state, unit, kind } = entity;
  if (kind === "button" || kind === "scene") return "";
  if (kind === "climate" && state.current_temperature !== null) return `${rounded(state.current_temperature)} ${unit ?? "°C"}`;
  if (state.value === null) return words.unknown;
  const number = Number(state.value);
  const value = state.value.trim() !== "" && Number.isFinite(number) ? rounded(number) : state.value;
  return unit ? `${value} ${unit}` : value;
}

/** @typedef {{ isHead?: boolean, node: HTMLElement, update: (entity: Entity) => void }} Part */

/** @param {Entity} entity @param {string} label @param {Act} act @returns {Part[]} */
function partsOf(entity, label, act) {
  const { kind, abilities, id } = entity;
  const parts = [];
  if (abilities.on_off) parts.push(toggle(id, label, act));
  if (abilities.brightness) {
    const bounds = { min: 1, max: 100, step: 1 };
    parts.push(slider("brightness", id, [label, words.brightness], bounds,
      (now) => now.state.brightness_percent, (percent) => act({ action: "set_brightness", percent })));
  }
  if (abilities.color_temperature_k) {
    const [min, max] = abilities.color_temperature_k;
    parts.push(slider("temperature", id, [label, words.colorTemperature], { min, max, step: 50 },
      (now) => now.state.color_temperature_k, (kelvin) => act({ action: "set_color_temperature", kelvin })));
  }
  if (abilities.color) parts.push(color(id, label, act));
  if (kind === "cover" || kind === "valve") parts.push(cover(id, label, act));
  if (abilities.position) {
    parts.push(slider("position", id, [label, words.position], { min: 0, max: 100, step: 1 },
      (now) => now.state.position_percent, (percent) => act({ action: "set_position", percent })));
  }
  if (kind === "lock") parts.push(lock(id, label, act));
  if (kind === "climate") {
    const bounds = abilities.range ?? { min: 5, max: 30, step: 0.5 };
    parts.push(slider("target", id, [label, words.target], bounds,
      (now) => now.state.target_temperature, (degrees) => act({ action: "set_temperature", degrees })));
  }
  if (kind === "number") {
    const bounds = abilities.range ?? { min: 0, max: 100, step: 1 };
    parts.push(slider("number", id, [label, words.set], bounds, numberOf, (value) => act({ action: "set_number", value })));
  }
  if (kind === "select") parts.push(choice("select", id, label, (now) => now.state.value, (option) => act({ action: "select", option })));
  else if (abilities.options.length) {
    parts.push(choice("mode", id, `${label}: ${words.mode}`, (now) => now.state.mode, (mode) => act({ action: "set_mode", mode })));
  }
  if (kind === "button" || kind === "scene") parts.push(press(id, label, act));
  return parts;
}

/** @param {Entity} entity */
function numberOf(entity) {
  const number = Number(entity.state.value);
  return entity.state.value !== null && Number.isFinite(number) ? number : null;
}

/** @param {string} id @param {string} label @param {Act} act @returns {Part} */
function toggle(id, label, act) {
  const isOn = () => node.getAttribute("aria-checked") === "true";
  const node = h("button", {
    id: `toggle-${id}`, type: "button", class: "toggle", role: "switch", "aria-label": label, "aria-checked": "false",
    onclick: () => act({ action: isOn() ? "turn_off" : "turn_on" }),
  }, h("span", { class: "knob" }));
  return { isHead: true, node, update: (now) => node.setAttribute("aria-checked", String(now.state.value === "on")) };
}

/**
 * A slider that is left alone while somebody moves it.
 * @param {string} name @param {string} id @param {[string, string]} labels @param {{ min: number, max: number, step: number }} bounds
 * @param {(entity: Entity) => number | null} read @param {(value: number) => void} write @returns {Part}
 */
function slider(name, id, [label, what], bounds, read, write) {
  const output = h("output", { for: `${name}-${id}` });
  let isHeld = false;
  const input = h("input", {
    id: `${name}-${id}`, type: "range", ...bounds, "aria-label": `${label}: ${what}`,
    oninput: () => {
      isHeld = true;
      setText(output, input.value);
    },
    onchange: () => {
      isHeld = false;
      write(Number(input.value));
    },
  });
  const node = h("div", { class: "slider" }, h("span", { class: "muted" }, what), input, output);
  const update = (/** @type {Entity} */ now) => {
    if (isHeld) return;
    const value = read(now);
    if (value !== null) input.value = String(value);
    setText(output, rounded(value !== null && bounds.step >= 1 ? Math.round(value) : value));
  };
  return { node, update };
}

/** @param {string} id @param {string} label @param {Act} act @returns {Part} */
function color(id, label, act) {
  const input = h("input", {
    id: `color-${id}`, type: "color", value: "#ffffff", "aria-label": `${label}: ${words.color}`,
    onchange: () => {
      const number = parseInt(input.value.slice(1), 16);
      act({ action: "set_color", color: { r: number >> 16, g: (number >> 8) & 255, b: number & 255 } });
    },
  });
  const node = h("div", { class: "slider" }, h("span", { class: "muted" }, words.color), input);
  const update = (/** @type {Entity} */ now) => {
    const rgb = now.state.color;
    if (!rgb || document.activeElement === input) return;
    input.value = `#${[rgb.r, rgb.g, rgb.b].map((part) => part.toString(16).padStart(2, "0")).join("")}`;
  };
  return { node, update };
}

/** @param {string} id @param {string} label @param {Act} act @returns {Part} */
function cover(id, label, act) {
  const button = (/** @type {string} */ action, /** @type {string} */ word) =>
    h("button", { id: `${action}-${id}`, type: "button", "aria-label": `${word}: ${label}`, onclick: () => act({ action }) }, word);
  const node = h("div", { class: "buttons", role: "group", "aria-label": label },
    button("open", words.open), button("stop", words.stop), button("close", words.closeCover));
  return { node, update: () => {} };
}

/** @param {string} id @param {string} label @param {Act} act @returns {Part} */
function lock(id, label, act) {
  const button = (/** @type {string} */ action, /** @type {string} */ word) =>
    h("button", { id: `${action}-${id}`, type: "button", "aria-label": `${word}: ${label}`, onclick: () => act({ action }) }, word);
  const node = h("div", { class: "buttons", role: "group", "aria-label": label }, button("lock", words.lock), button("unlock", words.unlock));
  return { node, update: () => {} };
}

/** @param {string} id @param {string} label @param {Act} act @returns {Part} */
function press(id, label, act) {
  const node = h("button", {
    id: `press-${id}`, type: "button", "aria-label": `${words.press}: ${label}`, onclick: () => act({ action: "press" }),
  }, words.press);
  return { isHead: true, node, update: () => {} };
}

/**
 * @param {string} name @param {string} id @param {string} label @param {(entity: Entity) => string | null} read
 * @param {(option: string) => void} write @returns {Part}
 */
function choice(name, id, label, read, write) {
  const select = h("select", { id: `${name}-${id}`, "aria-label": label, onchange: () => select.value && write(select.value) });
  let known = "";
  const update = (/** @type {Entity} */ now) => {
    if (document.activeElement === select) return;
    const options = now.abilities.options;
    const value = read(now) ?? "";
    if (known !== options.join("\n")) {
      known = options.join("\n");
      select.replaceChildren(h("option", { value: "" }, "…"), ...options.map((option) => h("option", { value: option }, option)));
    }
    select.value = options.includes(value) ? value : "";
  };
  return { node: h("div", { class: "slider" }, h("span", { class: "muted" }, words.mode), select), update };
}
