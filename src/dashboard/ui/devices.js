// Devices by room, with what each can do.

import { call } from "./api.js";
import { byId, element } from "./dom.js";

const SWITCHED = ["light", "switch", "fan", "siren", "humidifier"];

export async function showDevices() {
  const devices = await call("GET", "devices");
  const list = byId("devices-list");
  // What somebody is using is not pulled away under the finger.
  if (list.contains(document.activeElement) && document.activeElement.matches("input")) return;
  if (devices.length === 0) {
    list.replaceChildren(element("p", {}, "No devices yet. They appear here by themselves once ", element("code", {}, "mqtt.url"), " names the broker that Zigbee2MQTT, Tasmota or ESPHome publish to."));
    return;
  }
  const rooms = Map.groupBy(devices, (device) => device.room_name ?? "No room");
  const sorted = [...rooms].sort(([a], [b]) => a.localeCompare(b));
  list.replaceChildren(...sorted.flatMap(([room, inside]) => [element("h2", {}, room), ...inside.flatMap((device) => device.entities.map((entity) => row(device, entity)))]));
}

function row(device, entity) {
  const say = element("span", { class: "soft", role: "status" }, describe(entity));
  const send = (command) => async () => {
    say.textContent = "…";
    try {
      const { results } = await call("POST", `devices/${encodeURIComponent(device.id)}/command`, { entity: entity.id, ...command });
      say.textContent = OUTCOMES[results[0]?.status] ?? "";
      if (results[0]?.status === "confirmed") await showDevices();
    } catch (problem) {
      say.textContent = problem.message;
    }
  };
  const controls = [];
  const button = (label, command, properties = {}) => controls.push(element("button", { onclick: send(command), ...properties }, label));
  const isOn = entity.state.value === "on";
  if (SWITCHED.includes(entity.kind)) button(isOn ? "On" : "Off", { action: isOn ? "turn_off" : "turn_on" }, { "aria-pressed": String(isOn), "aria-label": `${entity.name}: ${isOn ? "switch off" : "switch on"}` });
  if (entity.abilities.brightness) controls.push(element("input", { type: "range", min: 1, max: 100, value: entity.state.brightness_percent ?? 0, "aria-label": `Brightness of ${entity.name}`, onchange: (event) => send({ action: "set_brightness", percent: Number(event.target.value) })() }));
  if (entity.kind === "cover" || entity.kind === "valve") for (const [label, action] of [["Open", "open"], ["Stop", "stop"], ["Close", "close"]]) button(label, { action });
  if (entity.kind === "lock") for (const [label, action] of [["Lock", "lock"], ["Unlock", "unlock"]]) button(label, { action });
  if (entity.kind === "scene" || entity.kind === "button") button("Start", { action: entity.kind === "scene" ? "turn_on" : "press" });
  if (entity.kind === "climate") for (const [label, degrees] of [["−", -0.5], ["+", 0.5]]) button(label, { action: "change_temperature", degrees }, { "aria-label": `${entity.name} ${degrees} degrees` });
  return element("div", { class: `device${entity.available ? "" : " gone"}`, id: `device-${entity.id}` }, element("span", { class: "name" }, entity.name, " ", renameButton(device)), say, ...controls);
}

const OUTCOMES = { confirmed: "Done.", not_confirmed: "Sent, but the device has not confirmed it.", unavailable: "The device cannot be reached.", not_supported: "The device cannot do that.", not_connected: "The broker is not connected." };

function describe(entity) {
  const { state } = entity;
  if (!entity.available) return "unavailable";
  const parts = [state.value && `${state.value}${entity.unit ? ` ${entity.unit}` : ""}`, state.brightness_percent != null && state.value === "on" && `${Math.round(state.brightness_percent)} %`, state.position_percent != null && `${Math.round(state.position_percent)} %`, state.current_temperature != null && `${state.current_temperature}°`, state.target_temperature != null && `→ ${state.target_temperature}°`];
  return parts.filter(Boolean).join(", ");
}

function renameButton(device) {
  return element("button", { class: "quiet", title: "Name and room", "aria-label": `Name and room of ${device.name}`, onclick: async () => {
    const name = prompt("What is it called?", device.name);
    if (name === null) return;
    const room = prompt("Which room is it in?", device.room_name ?? "");
    if (room === null) return;
    await call("POST", `devices/${encodeURIComponent(device.id)}`, { name, room: room.trim() || null }).catch((problem) => alert(problem.message));
    await showDevices();
  } }, "✎");
}
