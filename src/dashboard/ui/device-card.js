// One device: its controls, its readings, and the form that names it.

import * as api from "./api.js";
import { fill, h, icon, setText } from "./dom.js";
import { control, isReading } from "./entity-control.js";
import { strings } from "./strings.js";
import { busy, toast } from "./toast.js";

const words = strings.devices;

/**
 * @typedef {import("./entity-control.js").Entity} Entity
 * @typedef {{ id: string, name: string, aliases: string[], room: string | null, room_name: string | null,
 *   manufacturer: string | null, model: string | null, available: boolean, entities: Entity[] }} Device
 * @typedef {{ node: HTMLElement, update: (device: Device) => void }} Card
 */

/** What of a device decides which controls it has; another shape needs another card. @param {Device} device */
export function shape(device) {
  return JSON.stringify(device.entities.map(({ id, name, kind, unit, abilities }) => [id, name, kind, unit, abilities]));
}

/** @param {Device} device @param {() => void} changed called after a command or an edit @returns {Card} */
export function card(device, changed) {
  let now = device;
  const result = h("p", { id: `result-${device.id}`, class: "note", role: "status" });
  const act = (/** @type {Entity} */ entity) => async (/** @type {Record<string, unknown>} */ action) => {
    setText(result, words.working);
    setText(result, await command(device.id, entity.id, action));
    changed();
  };
  const ordered = [...device.entities].sort((a, b) => Number(isReading(a)) - Number(isReading(b)));
  const controls = ordered.map((entity) => ({ id: entity.id, ...control(entity, labelOf(device, entity), act(entity)) }));
  const name = h("h3", {});
  const about = h("p", { class: "muted small" });
  const form = h("div", { class: "device-form", hidden: true });
  const edit = h("button", {
    id: `device-edit-${device.id}`, type: "button", class: "quiet round", "aria-label": `${words.edit}: ${device.name}`, "aria-expanded": "false",
    onclick: () => {
      form.hidden = !form.hidden;
      edit.setAttribute("aria-expanded", String(!form.hidden));
      if (!form.hidden) openForm(form, now, edit, changed);
    },
  }, icon("edit"));
  const node = h("article", { id: `device-${device.id}`, class: "card device" },
    h("header", {}, icon(iconOf(device)), h("div", {}, name, about), edit),
    form, controls.map((control) => control.node), result);
  const update = (/** @type {Device} */ next) => {
    now = next;
    setText(name, next.name);
    const made = [next.manufacturer, next.model].filter(Boolean).join(" ");
    setText(about, next.available ? made : [words.unavailable, made].filter(Boolean).join(" · "));
    node.classList.toggle("unavailable", !next.available);
    for (const entity of next.entities) controls.find((known) => known.id === entity.id)?.update(entity);
  };
  update(device);
  return { node, update };
}

/** What an entity is called inside its device's card. @param {Device} device @param {Entity} entity */
function labelOf(device, entity) {
  if (entity.name === device.name) return words.kinds[/** @type {keyof typeof words.kinds} */ (entity.kind)] ?? entity.name;
  const rest = entity.name.toLowerCase().startsWith(`${device.name.toLowerCase()} `) ? entity.name.slice(device.name.length + 1) : entity.name;
  return rest.charAt(0).toUpperCase() + rest.slice(1);
}

/** @param {Device} device */
function iconOf(device) {
  const kinds = device.entities.map((entity) => entity.kind);
  return ["light", "cover", "lock", "climate", "switch"].find((kind) => kinds.includes(kind)) ?? "sensor";
}

/** Sends a command; the answer is a sentence. @param {string} deviceId @param {string} entity @param {Record<string, unknown>} action */
async function command(deviceId, entity, action) {
  try {
    const { results } = await api.post(`devices/${encodeURIComponent(deviceId)}/command`, { entity, ...action });
    const status = results?.[0]?.status ?? "";
    return words.results[/** @type {keyof typeof words.results} */ (status)] ?? status;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** @param {HTMLElement} place @param {Device} device @param {HTMLElement} edit @param {() => void} changed */
function openForm(place, device, edit, changed) {
  const id = device.id;
  const name = h("input", { id: `device-name-${id}`, value: device.name, maxlength: 100, required: true });
  const room = h("input", { id: `device-room-${id}`, value: device.room_name ?? "", maxlength: 100, list: "rooms", placeholder: words.roomHint });
  const aliases = h("input", { id: `device-aliases-${id}`, value: device.aliases.join(", "), placeholder: words.aliasesHint });
  const close = () => {
    place.hidden = true;
    edit.setAttribute("aria-expanded", "false");
    edit.focus();
    changed();
  };
  const path = `devices/${encodeURIComponent(id)}`;
  const save = h("button", { id: `device-save-${id}`, type: "submit", class: "primary" }, words.save);
  const forget = h("button", {
    type: "button", class: "quiet",
    onclick: () => confirm(words.forgetSure) && busy(forget, async () => {
      await api.remove(path);
      close();
    }),
  }, words.forget);
  fill(place, h("form", {
    onsubmit: (/** @type {Event} */ event) => {
      event.preventDefault();
      busy(save, async () => {
        const others = aliases.value.split(",").map((/** @type {string} */ alias) => alias.trim()).filter(Boolean);
        await api.post(path, { name: name.value.trim(), room: room.value.trim() || null, aliases: others });
        toast(words.saved);
        close();
      });
    },
  },
    h("label", { for: name.id }, words.name), name,
    h("label", { for: room.id }, words.room), room,
    h("label", { for: aliases.id }, words.aliases), aliases,
    h("div", { class: "buttons" }, save, h("button", { type: "button", onclick: close }, words.close), forget)));
  name.focus();
}
