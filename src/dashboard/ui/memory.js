// What the house remembers: searching it, telling it something, giving it documents, and forgetting.

import * as api from "./api.js";
import { byId, fill, h, setText } from "./dom.js";
import { bytes, moment } from "./format.js";
import { strings } from "./strings.js";
import { busy, complain, toast } from "./toast.js";

const words = strings.memory;
const POLL_MS = 5000;
const LIMIT = 20;
/** What the door lets in at once. */
const UPLOAD_BYTES_MAX = 1024 * 1024;

/**
 * @typedef {{ id: string, content: string, source: string, layer: string, relevance?: number, created_at: string }} Memory
 * @typedef {{ path: string, title: string, bytes: number, chunk_count: number, updated_at: string | null }} Document
 */

/** @type {ReturnType<typeof setInterval> | undefined} */
let timer;
/** The question whose answers are on the page; empty for the newest memories. */
let asked = "";

/** @param {HTMLElement} section */
export function mount(section) {
  fill(section,
    h("search", {},
      h("form", { id: "memory-search", class: "joined", onsubmit: search },
        h("input", { id: "memory-query", type: "search", "aria-label": words.search, placeholder: words.search, autocomplete: "off" }),
        h("select", { id: "memory-layer", "aria-label": words.layer, onchange: () => find().catch(complain) },
          h("option", { value: "" }, words.everything),
          Object.entries(words.layers).map(([layer, label]) => h("option", { value: layer }, label))),
        h("button", { id: "memory-go", type: "submit" }, words.go))),
    h("p", { id: "memory-state", class: "note", role: "status" }),
    h("div", { class: "columns" },
      h("section", { "aria-labelledby": "memory-results-title" },
        h("h2", { id: "memory-results-title" }, words.newest),
        h("ul", { id: "memory-results", class: "plain", "aria-live": "polite" })),
      h("div", { class: "form" }, noteForm(), documentForm())));
}

export async function show() {
  clearInterval(timer);
  timer = setInterval(() => drawState().catch(() => {}), POLL_MS);
  await Promise.all([find(), drawState(), drawDocuments()]);
}

export function hide() {
  clearInterval(timer);
}

function noteForm() {
  const text = h("textarea", { id: "memory-note", rows: 2, placeholder: words.noteHint });
  const button = h("button", { id: "memory-remember", type: "submit" }, words.remember);
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    if (!text.value.trim()) return text.focus();
    busy(button, async () => {
      await api.post("memory/chunks", { content: text.value });
      text.value = "";
      toast(words.remembered);
      await find();
    });
  };
  return h("form", { class: "form card", onsubmit: submit },
    h("div", { class: "field" }, h("label", { for: "memory-note" }, words.note), text), button);
}

function documentForm() {
  const input = h("input", { id: "memory-file", type: "file", multiple: true, accept: ".txt,.md,.markdown,.html,.htm,.pdf,.csv,.json,text/*" });
  input.addEventListener("change", () => busy(input, async () => {
    for (const file of input.files) await upload(file);
    input.value = "";
    await Promise.all([drawDocuments(), find()]);
  }));
  return h("section", { class: "card", "aria-labelledby": "memory-documents-title" },
    h("h2", { id: "memory-documents-title" }, words.documents),
    h("div", { class: "field" }, h("label", { for: "memory-file" }, words.add), input),
    h("p", { class: "note" }, words.more, " ", h("code", {}, words.command)),
    h("ul", { id: "memory-documents", class: "plain" }));
}

/** @param {File} file */
async function upload(file) {
  if (file.size > UPLOAD_BYTES_MAX) throw new Error(words.tooLarge(file.name));
  const { chunks } = await api.upload(`memory/upload?name=${encodeURIComponent(file.name)}`, file);
  toast(words.added(file.name, chunks));
}

/** @param {Event} event */
function search(event) {
  event.preventDefault();
  const button = byId("memory-go");
  busy(button, find);
}

async function find() {
  asked = byId("memory-query").value.trim();
  const layer = byId("memory-layer").value;
  const filter = `limit=${LIMIT}&layer=${layer}`;
  /** @type {Memory[]} */
  const found = asked
    ? (await api.get(`memory/search?q=${encodeURIComponent(asked)}&${filter}`)).results
    : ((await api.get(`memory/chunks?${filter}`)) ?? []);
  setText(byId("memory-results-title"), asked ? words.found(found.length) : words.newest);
  const list = byId("memory-results");
  if (found.length === 0) {
    fill(list, h("li", { id: "memory-empty", class: "empty" }, h("p", {}, asked ? words.nothing : words.none)));
    return;
  }
  fill(list, found.map((memory) => h("li", {}, card(memory))));
}

/** @param {Memory} memory */
function card(memory) {
  const forget = h("button", {
    id: `memory-forget-${memory.id}`, type: "button", class: "quiet", "aria-label": words.forgetOne(memory.content.slice(0, 60)),
    onclick: () => confirm(words.forgetSure) && busy(forget, async () => {
      await api.remove(`memory/chunk?id=${encodeURIComponent(memory.id)}`);
      toast(words.forgotten);
      await find();
    }),
  }, words.forget);
  const layer = words.layers[/** @type {keyof typeof words.layers} */ (memory.layer)] ?? memory.layer;
  const facts = [layer, named(memory), moment(memory.created_at)];
  if (asked && memory.relevance !== undefined) facts.push(words.fits(Math.round(memory.relevance * 100)));
  return h("article", { id: `memory-${memory.id}`, class: "card memory" },
    h("p", { class: "memory-text" }, memory.content),
    h("p", { class: "muted small" }, facts.filter(Boolean).join(" · ")),
    h("div", { class: "buttons" }, forget));
}

/** What a source is called behind its layer. @param {Memory} memory */
function named(memory) {
  const rest = memory.source.slice(memory.source.indexOf(":") + 1);
  return memory.source.includes(":") ? (memory.layer === "document" ? rest.slice(rest.lastIndexOf("/") + 1) : rest) : "";
}

async function drawState() {
  const { index, install, runtime } = await api.get("memory/embedding/status");
  const parts = [runtime.ready ? words.ready : words.notReady(runtime.detail)];
  if (index.embeddedChunks < index.totalChunks && runtime.ready) parts.push(words.indexing(index.embeddedChunks, index.totalChunks));
  if (install.pending) parts.push(words.installing(install.requestedModel, bytes(install.progress.done), bytes(install.progress.total)));
  if (install.progress.failure) parts.push(install.progress.failure);
  setText(byId("memory-state"), parts.join(" "));
}

async function drawDocuments() {
  /** @type {Document[]} */
  const documents = (await api.get("memory/documents")) ?? [];
  fill(byId("memory-documents"), documents.map((document) => {
    const remove = h("button", {
      type: "button", class: "quiet", "aria-label": words.forgetOne(document.path),
      onclick: () => confirm(words.forgetSure) && busy(remove, async () => {
        await api.remove(`memory/documents?path=${encodeURIComponent(document.path)}`);
        toast(words.forgotten);
        await Promise.all([drawDocuments(), find()]);
      }),
    }, words.forget);
    return h("li", { class: "joined memory-document" },
      h("span", { title: document.path }, document.title || document.path, " ",
        h("span", { class: "muted small" }, `${bytes(document.bytes)} · ${words.pieces(document.chunk_count)}`)),
      remove);
  }));
}
