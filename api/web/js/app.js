// The page: one state, mirrored in the address, so that back, reload and links work.
import * as api from "./api.js";
import { Chat } from "./chat.js";
import { byId, debounce, el } from "./dom.js";
import { Grid } from "./grid.js";
import { Library } from "./library.js";
import { S } from "./strings.js";
import { Viewer } from "./viewer.js";

const PAGE = 60;
const state = { collection: "", text: "", off: [], where: {}, image: null, all: false };
let asking = null, done = false, loading = false;

const grid = new Grid(byId("results"), (index) => viewer.open(grid.hits, index));
const viewer = new Viewer(byId("viewer"), (item) => byPicture(item.id, api.thumbnail(item.id, 128)));
const chat = new Chat(byId("chat"), openCitation);
const library = new Library(byId("shelf"), { onChange: () => run(), current: () => state.collection, choose: chooseCollection });
const query = byId("query");
query.placeholder = S.placeholder;

function say(text) { byId("status").textContent = text; }

function remember(push) {
  const params = new URLSearchParams();
  if (state.text) params.set("q", state.text);
  if (state.collection) params.set("c", state.collection);
  if (state.image && !state.image.startsWith("data:")) params.set("like", state.image);
  for (const each of state.off) params.append("off", each);
  if (Object.keys(state.where).length) params.set("w", JSON.stringify(state.where));
  const address = params.size ? `?${params}` : location.pathname;
  history[push ? "pushState" : "replaceState"](null, "", address);
}

function recall() {
  const params = new URLSearchParams(location.search);
  state.text = params.get("q") || "";
  state.image = params.get("like");
  state.off = params.getAll("off");
  state.all = false;
  try { state.where = JSON.parse(params.get("w") || "{}"); } catch { state.where = {}; }
  query.value = state.text;
  showExample(state.image && api.thumbnail(state.image, 128));
  return params.get("c");
}

async function run({ push = false } = {}) {
  asking?.abort();
  asking = new AbortController();
  done = false; loading = false;
  remember(push);
  if (!state.collection) return start();
  if (!state.text.trim() && !state.image && !Object.keys(state.where).length) return browse();
  say(S.loading);
  await more(true);
}

// What there is, newest first, before anything is asked.
async function browse() {
  byId("understood").replaceChildren();
  grid.clear();
  const signal = asking.signal;
  try {
    const found = await api.call(`/v1/collections/${encodeURIComponent(state.collection)}/images?limit=${PAGE}`, { signal });
    done = true;
    grid.add(found.images);
    byId("empty").hidden = false;
    byId("empty").replaceChildren(found.total
      ? el("div", {}, el("h1", {}, S.start), el("div", { class: "chips" }, S.examples.map((text) =>
          el("button", { type: "button", class: "chip", onclick: () => { query.value = text; typed(true); } }, text))))
      : el("div", {}, el("h1", {}, S.emptyCollection), el("button", { type: "button", class: "primary", onclick: () => library.open() }, S.addPictures)));
    say(S.pictures(found.total));
  } catch (error) { failed(error); }
}

function start() {
  grid.clear();
  say("");
  byId("empty").hidden = false;
  byId("empty").replaceChildren(el("h1", {}, S.noCollection), el("button", { type: "button", class: "primary", onclick: () => library.open() }, S.addPictures));
}

async function more(first = false) {
  if (loading || done || !asking) return;
  loading = true;
  const signal = asking.signal;
  try {
    const body = { text: state.text, off: state.off, where: state.where, top_k: PAGE, offset: first ? 0 : grid.hits.length, all: state.all };
    if (state.image) body.image = state.image;
    const found = await api.search(state.collection, body, signal);
    if (signal.aborted) return;
    if (first) { grid.clear(); understood(found.query); verdict(found); window.scrollTo({ top: 0 }); }
    grid.add(found.hits);
    done = found.hits.length < PAGE;
    say(found.matched ? S.found(grid.hits.length, found.took_ms) : state.all ? S.closestShown : S.nothing);
  } catch (error) { failed(error); } finally { if (!signal.aborted) loading = false; }
  if (!done && !signal.aborted && byId("more").getBoundingClientRect().top < innerHeight + 800) more();
}

function failed(error) {
  if (error.name === "AbortError") return;
  if (error.status === 401) return login();
  say(error.message);
}

function verdict(found) {
  const empty = byId("empty");
  empty.hidden = found.matched;
  if (found.matched) return;
  empty.replaceChildren(state.all ? "" : el("h1", {}, S.nothing), el("p", { class: "quiet" }, found.reason || ""),
    state.all ? "" : el("button", { type: "button", class: "primary", onclick: () => { state.all = true; run(); } }, S.closest));
}

// Chips: what the words were understood as. Each can be switched off.
function understood(found) {
  const chips = found.clauses.map((each) => el("button", {
    type: "button", class: "chip on", "aria-label": S.off(`${S.field[each.field] || each.field} ${each.value}`),
    onclick: () => { state.off = [...state.off, each.words]; state.all = false; run({ push: true }); },
  }, el("b", {}, `${S.field[each.field] || each.field} `), each.value, el("span", { "aria-hidden": "true" }, " ×")));
  const filters = Object.entries(state.where).map(([field, value]) => el("button", {
    type: "button", class: "chip on", "aria-label": S.off(`${S.field[field] || field} ${value}`),
    onclick: () => { delete state.where[field]; run({ push: true }); },
  }, el("b", {}, `${S.field[field] || field} `), String(value), el("span", { "aria-hidden": "true" }, " ×")));
  const back = state.off.length ? el("button", { type: "button", class: "chip", onclick: () => { state.off = []; run({ push: true }); } }, S.on) : "";
  byId("understood").replaceChildren(...filters, ...chips, back);
}

async function showFacets() {
  const holder = byId("facets");
  holder.replaceChildren();
  if (!state.collection) return;
  let found;
  try { found = await api.facets(state.collection); } catch { return; } // a list to click is no more than a help
  const group = (title, rows, choose) => rows.length > 1 && el("details", {}, el("summary", {}, title),
    el("div", { class: "chips" }, rows.slice(0, 40).map(([label, count, value]) => el("button", {
      type: "button", class: "chip", onclick: () => { choose(value); holder.querySelectorAll("details").forEach((d) => { d.open = false; }); run({ push: true }); },
    }, label, el("span", { class: "quiet" }, ` ${count}`)))));
  const rows = (name) => (found[name] || []).map((each) => [each.label, each.count, String(each.value)]);
  holder.replaceChildren(...[
    group(S.facet.years, rows("years").sort().reverse(), (year) => { state.where.after = year; state.where.before = String(Number(year) + 1); }),
    group(S.facet.kinds, rows("kinds").map(([kind, n, value]) => [S.kind[kind] || kind, n, value]), (kind) => { state.where.kind = kind; }),
    group(S.facet.places, rows("countries"), (country) => { state.where.country = country; }),
    group(S.facet.cameras, rows("cameras"), (camera) => { state.where.camera = camera; }),
    group(S.facet.tags, rows("tags"), (tag) => { state.where.tags = [tag]; }),
  ].filter(Boolean));
}

function openCitation(answer, citation) {
  const items = answer.hits.length ? answer.hits : [citation];
  const index = Math.max(0, items.findIndex((hit) => hit.id === citation.id));
  viewer.open(items, index, { box: citation.box, quote: citation.quote });
}

function typed(push = false) {
  later.cancel();
  state.text = query.value;
  state.off = []; state.all = false;
  run({ push });
}
const later = debounce(() => typed(), 180);

function ask() {
  later.cancel();
  const question = query.value.trim();
  if (!question || !state.collection) return query.focus();
  state.text = question;
  chat.ask(state.collection, question, (found) => {
    grid.clear(); understood(found.query); byId("empty").hidden = true; grid.add(found.hits); done = true; say("");
  }).catch(failed);
}

function showExample(source) {
  byId("example").hidden = !source;
  if (source) byId("example").querySelector("img").src = source;
}

function byPicture(image, source) {
  state.image = image; state.all = false;
  showExample(source);
  run({ push: true });
}

async function takeFile(file) {
  if (!file?.type.startsWith("image/")) return;
  // Sent small: the models look at a few hundred pixels.
  let data;
  try {
    const picture = await createImageBitmap(file);
    const scale = Math.min(1, 768 / Math.max(picture.width, picture.height));
    const canvas = el("canvas", { width: Math.max(1, Math.round(picture.width * scale)), height: Math.max(1, Math.round(picture.height * scale)) });
    canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
    data = canvas.toDataURL("image/jpeg", 0.9);
  } catch { return say(`${file.name}: not a picture that this browser can read`); }
  byPicture(data, data);
}

async function chooseCollection(name) {
  await fillCollections(name);
  state.where = {};
  showFacets();
  await run({ push: true });
}

async function fillCollections(wanted) {
  const { collections } = await api.collections();
  const select = byId("collection");
  select.replaceChildren(...collections.map((each) => el("option", { value: each.name }, each.name)));
  const names = collections.map((each) => each.name);
  state.collection = names.includes(wanted) ? wanted : names.includes("default") ? "default" : names[0] || "";
  select.value = state.collection;
  select.hidden = names.length < 2;
}

function login() {
  const dialog = byId("login");
  const key = el("input", { id: "key", type: "password", autocomplete: "current-password", required: true });
  const note = el("p", { role: "alert" });
  dialog.replaceChildren(el("form", { onsubmit: async (event) => {
    event.preventDefault();
    try { await api.login(key.value.trim()); dialog.close(); await begin(); } catch (error) { note.textContent = error.status === 401 ? S.wrongKey : error.message; }
  } }, el("h2", {}, S.login), el("label", { for: "key" }, S.key), key, note, el("button", { class: "primary" }, S.enter)));
  if (!dialog.open) dialog.showModal();
  key.focus();
}

async function begin() {
  try {
    const wanted = recall();
    await fillCollections(wanted);
    showFacets();
    await run();
  } catch (error) { failed(error); }
}

byId("search").addEventListener("submit", (event) => { event.preventDefault(); /\?\s*$/.test(query.value) ? ask() : typed(true); });
query.addEventListener("input", later);
byId("ask").addEventListener("click", ask);
byId("library").addEventListener("click", () => library.open());
byId("collection").addEventListener("change", (event) => chooseCollection(event.target.value));
byId("by-picture").addEventListener("change", (event) => { takeFile(event.target.files[0]); event.target.value = ""; });
byId("example").querySelector("button").addEventListener("click", () => { state.image = null; showExample(null); run({ push: true }); });
addEventListener("popstate", () => begin());
addEventListener("paste", (event) => { const file = [...event.clipboardData.files][0]; if (file) { event.preventDefault(); takeFile(file); } });
addEventListener("dragover", (event) => { event.preventDefault(); byId("drop").hidden = byId("shelf").open; });
addEventListener("dragleave", (event) => { if (!event.relatedTarget) byId("drop").hidden = true; });
addEventListener("drop", (event) => { event.preventDefault(); byId("drop").hidden = true; if (!byId("shelf").open) takeFile(event.dataTransfer.files[0]); });
addEventListener("keydown", (event) => {
  if (event.target.closest("input, textarea, select, dialog")) {
    if (event.key === "ArrowDown" && event.target === query && grid.hits.length) { event.preventDefault(); grid.focus(0); }
    return;
  }
  if (event.key === "/") { event.preventDefault(); query.focus(); query.select(); }
});
new IntersectionObserver((seen) => seen.some((each) => each.isIntersecting) && (state.text || state.image || Object.keys(state.where).length) && more(), { rootMargin: "800px" }).observe(byId("more"));
begin();
