// Times, lengths and sizes as people read them, in the browser's language and zone.

import { strings } from "./strings.js";

const MINUTE = 60;
const HOUR = 3600;
const DAY = 86400;

/** @param {string | null | undefined} rfc3339 @returns {string} */
export function moment(rfc3339) {
  const at = rfc3339 ? new Date(rfc3339) : null;
  if (!at || Number.isNaN(at.getTime())) return "";
  const isToday = at.toDateString() === new Date().toDateString();
  /** @type {Intl.DateTimeFormatOptions} */
  const options = isToday ? { timeStyle: "medium" } : { dateStyle: "medium", timeStyle: "short" };
  return new Intl.DateTimeFormat(undefined, options).format(at);
}

/** "in 5 minutes", "2 hours ago". @param {string | null | undefined} rfc3339 @returns {string} */
export function relative(rfc3339) {
  const at = rfc3339 ? new Date(rfc3339).getTime() : NaN;
  if (Number.isNaN(at)) return "";
  const seconds = Math.round((at - Date.now()) / 1000);
  const size = Math.abs(seconds);
  if (size < 5) return seconds > 0 ? strings.time.soon : strings.time.now;
  const [unit, length] = /** @type {[Intl.RelativeTimeFormatUnit, number]} */ (
    size < MINUTE ? ["second", 1] : size < HOUR ? ["minute", MINUTE] : size < DAY ? ["hour", HOUR] : ["day", DAY]
  );
  return new Intl.RelativeTimeFormat(undefined, { numeric: "auto" }).format(Math.round(seconds / length), unit);
}

/** @param {number} total whole seconds @returns {string} */
export function length(total) {
  const { days, hours, minutes, seconds } = strings.time;
  if (total < MINUTE) return `${total} ${seconds}`;
  if (total < HOUR) return `${Math.floor(total / MINUTE)} ${minutes}`;
  if (total < DAY) return `${Math.floor(total / HOUR)} ${hours} ${Math.floor((total % HOUR) / MINUTE)} ${minutes}`;
  return `${Math.floor(total / DAY)} ${days} ${Math.floor((total % DAY) / HOUR)} ${hours}`;
}

/** @param {number} millis @returns {string} */
export function millis(millis) {
  return millis < 1000 ? `${millis} ms` : `${(millis / 1000).toFixed(1)} s`;
}

/** @param {number} count @returns {string} */
export function bytes(count) {
  const units = ["B", "KiB", "MiB", "GiB"];
  let unit = 0;
  while (count >= 1024 && unit < units.length - 1) {
    count /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? count : count.toFixed(1)} ${units[unit]}`;
}

/** @param {number | null | undefined} number @returns {string} */
export function rounded(number) {
  return typeof number === "number" ? String(Math.round(number * 10) / 10) : "";
}
