// The way in: the first visit, which makes somebody the owner, then signing in with the password, or with a program's token.

import * as api from "./api.js";
import { byId, fill, h } from "./dom.js";
import { strings } from "./strings.js";

const words = strings.login;

/** @typedef {{ auth_required: boolean, password_set: boolean, password_chars_min: number }} Owner */
/** What a form of this page asks for. @typedef {{ id: string, label: string, hint?: string, props: Record<string, unknown> }} Field */

/** Whether the browser is signed in, or the house asks for no login. @returns {Promise<boolean>} */
export async function isSignedIn() {
  try {
    const answer = await api.get("auth/verify");
    return answer?.valid === true;
  } catch (error) {
    if (error instanceof api.ApiError && [401, 403, 429].includes(error.status)) return false;
    throw error;
  }
}

/** Shows the form that fits this house; calls back when somebody is in. @param {() => void} done @param {string} [note] */
export async function show(done, note = "") {
  byId("frame").hidden = true;
  /** @type {Owner} */
  const owner = await api.get("auth/owner");
  if (owner.password_set) showSignIn(done, note);
  else showSetup(done, note, owner.password_chars_min);
}

export function hide() {
  const place = byId("login");
  fill(place);
  place.hidden = true;
}

/** @param {() => void} done @param {string} note */
function showSignIn(done, note) {
  const password = secret({
    id: "login-password", label: words.password, props: { autocomplete: "current-password", enterkeyhint: "go" },
  });
  draw({
    title: words.title, lead: words.lead, note, fields: [userName(), ...password], button: words.button, busy: words.busy,
    help: help(words.forgotten, words.resetHow, words.resetCommand, words.resetAfter),
    other: other(words.other, () => showToken(done)),
    submit: async () => {
      const text = value("login-password");
      if (!text) return words.missing;
      return enter("auth/login", { password: text }, done);
    },
  });
}

/** @param {() => void} done */
function showToken(done) {
  const token = secret({ id: "login-token", label: words.token, props: { autocomplete: "off", enterkeyhint: "go" } });
  draw({
    title: words.title, lead: words.tokenLead, note: "", fields: token, button: words.button, busy: words.busy,
    help: help(words.tokenWhere, words.resetHow, words.tokenCommand, words.tokenAfter),
    other: other(words.back, () => show(done)),
    submit: async () => {
      const text = value("login-token").trim();
      if (!text) return words.tokenMissing;
      return enter("auth/login", { token: text }, done);
    },
  });
}

/** @param {() => void} done @param {string} note @param {number} length */
function showSetup(done, note, length) {
  const told = strings.setup;
  const code = plain({
    id: "setup-code", label: told.code, hint: told.codeHint,
    props: { autocomplete: "one-time-code", autocapitalize: "characters", spellcheck: "false", enterkeyhint: "next" },
  });
  const password = secret({
    id: "setup-password", label: told.password, hint: told.passwordHint(length),
    props: { autocomplete: "new-password", enterkeyhint: "next" },
  });
  const again = plain({
    id: "setup-again", label: told.again, props: { type: "password", autocomplete: "new-password", enterkeyhint: "go" },
  });
  draw({
    title: told.title, lead: told.lead, note, fields: [...code, userName(), ...password, ...again],
    button: told.button, busy: told.busy,
    help: help(told.where, told.how, told.command, told.after),
    other: other(words.other, () => showToken(done)),
    submit: async () => {
      if (!value("setup-code").trim()) return told.codeMissing;
      if (Array.from(value("setup-password")).length < length) return told.short(length);
      if (value("setup-password") !== value("setup-again")) return told.different;
      return enter("auth/setup", { code: value("setup-code"), password: value("setup-password") }, done);
    },
  });
}

/** Asks the house; says what was wrong. @param {string} path @param {unknown} body @param {() => void} done @returns {Promise<string>} */
async function enter(path, body, done) {
  try {
    await api.post(path, body);
    done();
    return "";
  } catch (problem) {
    // Somebody else has set the password, or taken it away, while this page was open.
    if (problem instanceof api.ApiError && problem.status === 409) await show(done, problem.message);
    return problem instanceof Error ? problem.message : String(problem);
  }
}

/**
 * @typedef {{ title: string, lead: string, note: string, fields: Node[], button: string, busy: string, help: Node, other: Node,
 *   submit: () => Promise<string> }} Form
 */

/** @param {Form} form */
function draw(form) {
  const error = h("p", { id: "login-error", class: "error", role: "alert" }, form.note);
  const button = h("button", { id: "login-button", type: "submit", class: "primary" }, form.button);
  const node = h("form", {
    id: "login-form", class: "card login", novalidate: true,
    onsubmit: async (/** @type {Event} */ event) => {
      event.preventDefault();
      button.disabled = true;
      button.textContent = form.busy;
      error.textContent = "";
      const wrong = await form.submit();
      error.textContent = wrong;
      button.disabled = false;
      button.textContent = form.button;
    },
  },
    h("img", { src: "/assets/icon.svg", alt: "", width: 56, height: 56 }),
    h("h1", {}, form.title),
    h("p", { class: "muted" }, form.lead),
    ...form.fields,
    error,
    button,
    form.help,
    form.other,
  );
  const place = byId("login");
  fill(place, node);
  place.hidden = false;
  node.querySelector("input:not([hidden])")?.focus();
}

/** A field with its label. @param {Field} field @returns {Node[]} */
function plain(field) {
  return [label(field), input(field)];
}

/** The same with letters that are hidden until one wants to see them. @param {Field} field @returns {Node[]} */
function secret(field) {
  const hidden = input({ ...field, props: { type: "password", ...field.props } });
  const reveal = h("button", {
    id: `${field.id}-show`, type: "button", class: "quiet", "aria-controls": field.id, "aria-pressed": "false",
    onclick: () => toggle(hidden, reveal),
  }, words.show);
  return [label(field), h("div", { class: "joined" }, hidden, reveal)];
}

/** @param {Field} field */
function label(field) {
  return h("label", { for: field.id }, field.label, field.hint && h("span", { class: "muted" }, ` · ${field.hint}`));
}

/** @param {Field} field */
function input(field) {
  return h("input", {
    id: field.id, name: field.id, autocapitalize: "off", spellcheck: "false", required: true, "aria-describedby": "login-error",
    ...field.props,
  });
}

/** Keepers of passwords want a name to keep them under. */
function userName() {
  return h("input", { name: "username", type: "text", autocomplete: "username", value: "owner", hidden: true });
}

/** @param {string} summary @param {string} how @param {string} command @param {string} after */
function help(summary, how, command, after) {
  return h("details", {},
    h("summary", {}, summary),
    h("p", {}, how),
    h("pre", {}, h("code", {}, command)),
    h("p", { class: "muted" }, after));
}

/** @param {string} text @param {() => void} onclick */
function other(text, onclick) {
  return h("button", { id: "login-other", type: "button", class: "quiet", onclick }, text);
}

/** @param {string} id @returns {string} */
function value(id) {
  return byId(id).value;
}

/** @param {HTMLInputElement} field @param {HTMLElement} reveal */
function toggle(field, reveal) {
  const isShown = field.type === "text";
  field.type = isShown ? "password" : "text";
  reveal.textContent = isShown ? words.show : words.hide;
  reveal.setAttribute("aria-pressed", String(!isShown));
}
