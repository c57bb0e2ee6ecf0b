// The page: one state, mirrored in the address, so that back, reload and links work.
import * as api from "./api.js";
import { Chat } from "./chat.js";
import { button, byId, debounce, el } from "./dom.js";
import { Facets } from "./facets.js";
import { Grid } from "./grid.js";
import { Library } from "./library.js";
import { Rail } from "./rail.js";
import { S } from "./strings.js";
import { Understood } from "./understood.js";
import { Upgrade } from "./upgrade.js";
import { Viewer } from "./viewer.js";

const PAGE = 60, DEEPEST = 100_000, TYPING_MS = 160;
const state = { collection: "", text: "", off: [], where: {}, image: null, all: false };
let asking = new AbortController(), more = null, found = null, running = null;

const query = byId("query");
const grid = new Grid(byId("results"), { onOpen: (index) => viewer.open(grid.items, index), onNeed: (first, end) => more?.(first, end) });
const rail = new Rail(byId("rail"), grid);
const viewer = new Viewer(byId("viewer"), { onLike: moreLike, onOpened: opened });
const chat = new Chat(byId("chat"), { openCitation, onHits: evidence, light: (id) => grid.light(id), onError: failed });
const library = new Library(byId("shelf"), { onChange: refreshed, current: () => state.collection, choose: chooseCollection });
const upgrade = new Upgrade(byId("upgrade"), { onDone: refreshed, onMove: () => grid.later() });
const facets = new Facets(byId("facets"), byId("filter"), { where: () => state.where, onChange: narrow });
const chips = new Understood(byId("understood"), {
  where: (changes) => narrow(changes),
  off: (words) => { state.off = [...state.off, words]; go(); },
  on: (words) => { state.off = state.off.filter((each) => each !== words); go(); },
  rewrite: (words, text) => {
    const at = state.text.toLowerCase().indexOf(words.toLowerCase());
    state.text = (at < 0 ? `${state.text} ${text}` : state.text.slice(0, at) + text + state.text.slice(at + words.length)).trim();
    query.value = state.text;
    go();
  },
});
query.placeholder = S.placeholder;

const say = (text) => { byId("status").textContent = text; };
const searching = () => Boolean(state.text.trim() || state.image || Object.keys(state.where).length);

// --- the address ---------------------------------------------------------------------------------------------------

function address(picture, box) {
  const params = new URLSearchParams();
  if (state.text) params.set("q", state.text);
  if (state.collection && byId("collection").options.length > 1) params.set("c", state.collection);
  if (state.image && !state.image.startsWith("data:")) params.set("like", state.image);
  for (const each of state.off) params.append("off", each);
  if (Object.keys(state.where).length) params.set("w", JSON.stringify(state.where));
  if (picture) params.set("i", picture);
  if (picture && box) params.set("b", box.join(","));
  return params.size ? `?${params}` : location.pathname;
}

function moreLike(item) {
  if (state.text.trim() && !state.image) api.good(state.collection, state.text, item.id);
  byPicture(item.id, api.thumbnail(item.id, 128));
}

function opened(item, box) { history.replaceState(null, "", address(item?.id, box)); }

function recall() {
  const params = new URLSearchParams(location.search);
  state.text = params.get("q") || "";
  state.image = params.get("like");
  state.off = params.getAll("off");
  state.all = false;
  try { state.where = JSON.parse(params.get("w") || "{}"); } catch { state.where = {}; }
  if (typeof state.where !== "object" || !state.where) state.where = {};
  query.value = state.text;
  showExample(state.image && api.thumbnail(state.image, 128));
  return { wanted: params.get("c"), picture: params.get("i"), box: params.get("b")?.split(",").map(Number) };
}

// --- searching -----------------------------------------------------------------------------------------------------

function go() { state.all = false; return run({ push: true }); }

async function run({ push = false } = {}) {
  asking.abort();
  asking = new AbortController();
  more = null;
  const where = address();
  if (where !== (location.search || location.pathname)) history[push ? "pushState" : "replaceState"](null, "", where);
  byId("filter").hidden = !state.collection;
  if (!state.collection) return start();
  running = searching() ? search(asking.signal) : browse(asking.signal);
  return running;
}

async function search(signal) {
  say(S.loading);
  let done = false, loading = false;
  const page = async () => {
    if (loading || done) return;
    loading = true;
    const offset = found && grid.count && more ? grid.count : 0;
    try {
      const body = { text: state.text, off: state.off, where: state.where, top_k: PAGE, offset, all: state.all };
      if (state.image) body.image = state.image;
      const answer = await api.search(state.collection, body, signal);
      if (signal.aborted) return;
      if (!more) { fresh(answer); more = (first, end) => end > grid.count - PAGE && page(); }
      done = answer.hits.length < PAGE || offset + PAGE >= DEEPEST;
      grid.add(answer.hits);
      say(answer.matched ? S.found(grid.count, found.took_ms, !done) : state.all ? S.closestShown : "");
    } catch (error) { done = true; failed(error); } finally { loading = false; }
    if (!signal.aborted) grid.later();
  };
  await page();
}

// The first page of another search takes the place of what was there.
function fresh(answer) {
  found = answer;
  grid.clear();
  rail.show([]);
  chips.show(answer.query, state);
  if (scrollY > grid.top()) scrollTo(0, 0);
  const empty = byId("empty");
  empty.hidden = answer.matched || state.all && answer.hits.length > 0;
  if (empty.hidden) return;
  const filtered = !state.text.trim() && !state.image;
  empty.replaceChildren(el("h1", {}, S.nothing), el("p", { class: "quiet" }, answer.reason || ""),
    filtered ? button(S.unfiltered, () => { state.where = {}; facets.mark(); go(); }, { class: "primary" })
      : button(S.closest, () => { state.all = true; run(); }, { class: "primary" }));
}

// Everything, newest first: the shapes of all pictures at once, the pictures as they come near the screen.
async function browse(signal) {
  found = null;
  chips.show(null, state);
  try {
    const [wall, head] = await Promise.all([api.timeline(state.collection, signal), api.newest(state.collection, 0, PAGE, signal)]);
    if (signal.aborted) return;
    const shapes = Uint8Array.from(atob(wall.shapes), (letter) => letter.charCodeAt(0));
    const months = [];
    let first = 0;
    for (const each of wall.months) { months.push({ ...each, first }); first += each.count; }
    grid.wall(wall.total, (i) => 2 ** ((shapes[i] - 128) / 32), titles(months, wall.total));
    grid.put(0, head.images);
    rail.show(months);
    more = pages(signal, wall.total, new Set([0]));
    invite(wall.total);
    say(wall.total ? S.pictures(wall.total) : "");
    grid.later();
  } catch (error) { failed(error); }
}

// Headings by month where there are enough pictures for it, else by year, else none.
function titles(months, total) {
  const dated = months.filter((each) => each.month);
  if (!dated.length) return new Map();
  const years = new Set(dated.map((each) => each.month.slice(0, 4)));
  if (total / dated.length >= 8) return new Map(months.map((each) => [each.first, S.month(each.month)]));
  if (dated.reduce((sum, each) => sum + each.count, 0) / years.size < 8) return new Map();
  return new Map(months.filter((each, i) => !i || each.month?.slice(0, 4) !== months[i - 1].month?.slice(0, 4)).map((each) => [each.first, each.month?.slice(0, 4) || S.month(null)]));
}

function pages(signal, total, there) {
  let wanted = [], busy = 0;
  const work = async () => {
    while (wanted.length && busy < 3) {
      const page = wanted.shift();
      if (there.has(page)) continue;
      there.add(page);
      busy += 1;
      api.newest(state.collection, page * PAGE, PAGE, signal)
        .then((answer) => grid.put(page * PAGE, answer.images))
        .catch((error) => { there.delete(page); failed(error); })
        .finally(() => { busy -= 1; work(); });
    }
  };
  const later = debounce(work, 60);
  return (first, end) => {
    wanted = []; // what was scrolled past is not fetched
    for (let page = Math.floor(first / PAGE); page <= Math.floor((Math.min(end, total) - 1) / PAGE); page++) if (!there.has(page)) wanted.push(page);
    if (wanted.length) later();
  };
}

function invite(total) {
  byId("empty").hidden = false;
  byId("empty").replaceChildren(total
    ? el("div", { class: "chips try" }, el("span", { class: "quiet" }, S.try), S.examples.map((text) => button(text, () => { query.value = text; typed(true); }, { class: "chip" })))
    : el("div", {}, el("h1", {}, S.emptyCollection), button(S.addPictures, () => library.open(), { class: "primary" })));
}

function start() {
  grid.clear();
  say("");
  byId("empty").hidden = false;
  byId("empty").replaceChildren(el("h1", {}, S.noCollection), button(S.addPictures, () => library.open(), { class: "primary" }));
}

function failed(error) {
  if (error.name === "AbortError") return;
  if (error.status === 401) return login();
  say(error.message);
}

function typed(push = false) {
  later.cancel();
  if (query.value === state.text && !push) return;
  if (!state.collection) return; // not there yet: it is read when it is
  state.text = query.value;
  state.off = []; state.all = false;
  run({ push });
}
const later = debounce(() => typed(), TYPING_MS);

function narrow(changes) {
  state.where = Object.fromEntries(Object.entries({ ...state.where, ...changes }).filter(([, value]) => value !== undefined && value !== ""));
  facets.mark();
  go();
}

// --- asking --------------------------------------------------------------------------------------------------------

async function ask() {
  later.cancel();
  const question = query.value.trim();
  await ready;
  if (!question || !state.collection) return query.focus();
  asking.abort();
  more = null;
  state.text = question;
  history.replaceState(null, "", address());
  chat.clear();
  chat.ask(state.collection, question);
}

function evidence(answer) {
  asking.abort();
  more = null;
  found = answer;
  grid.clear();
  rail.show([]);
  chips.show(answer.query, state);
  byId("empty").hidden = true;
  grid.add(answer.hits);
  say("");
}

function openCitation(answer, citation) {
  const items = answer.hits.some((hit) => hit.id === citation.id) ? answer.hits : null;
  const show = (list, index) => viewer.open(list, index, { box: citation.box, quote: citation.quote });
  if (items) return show(items, items.findIndex((hit) => hit.id === citation.id));
  api.image(citation.id).then((item) => show([item], 0)).catch(failed);
}

// --- by a picture --------------------------------------------------------------------------------------------------

function showExample(source) {
  byId("example").hidden = !source;
  if (source) byId("example").querySelector("img").src = source;
}

function byPicture(image, source) {
  state.image = image;
  showExample(source);
  go();
}

async function takeFile(file) {
  if (!file) return;
  // Sent small: the models look at a few hundred pixels.
  let data;
  try {
    const picture = await createImageBitmap(file);
    const scale = Math.min(1, 768 / Math.max(picture.width, picture.height));
    const canvas = el("canvas", { width: Math.max(1, Math.round(picture.width * scale)), height: Math.max(1, Math.round(picture.height * scale)) });
    canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
    data = canvas.toDataURL("image/jpeg", 0.9);
  } catch { await running; return say(S.unreadable(file.name)); } // after: what still loads would write over it
  byPicture(data, data);
}

// --- collections and sessions --------------------------------------------------------------------------------------

async function chooseCollection(name) {
  await fillCollections(name);
  state.where = {}; state.off = [];
  chat.clear();
  facets.use(state.collection);
  upgrade.use(state.collection);
  await run({ push: true });
}

async function refreshed() {
  await fillCollections(state.collection).catch(failed);
  facets.use(state.collection);
  await run();
}

async function fillCollections(wanted) {
  const { collections } = await api.collections();
  const select = byId("collection");
  select.replaceChildren(...collections.map((each) => el("option", { value: each.name }, each.name)));
  const names = collections.map((each) => each.name);
  state.collection = names.includes(wanted) ? wanted : names.includes("default") ? "default" : names[0] || "";
  viewer.collection = state.collection;
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
  const { wanted, picture, box } = recall(); // at once: what is typed while the first answers come must stay
  try {
    if (!(await api.session()).open) return login();
    await fillCollections(wanted);
    state.text = query.value;
    facets.use(state.collection);
    upgrade.use(state.collection);
    await run();
    if (picture) viewer.open([await api.image(picture)], 0, { box: box?.length === 4 && box.every(Number.isFinite) ? box : undefined });
  } catch (error) { failed(error); }
}

byId("search").addEventListener("submit", (event) => { event.preventDefault(); /\?\s*$/.test(query.value) ? ask() : typed(true); });
query.addEventListener("input", later);
byId("ask").addEventListener("click", ask);
byId("library").addEventListener("click", () => library.open());
byId("collection").addEventListener("change", (event) => chooseCollection(event.target.value));
byId("by-picture").addEventListener("change", (event) => { takeFile(event.target.files[0]); event.target.value = ""; });
byId("example").querySelector("button").addEventListener("click", () => { state.image = null; showExample(null); go(); query.focus(); });
addEventListener("popstate", () => { byId("viewer").close(); begin(); });
addEventListener("paste", (event) => { const file = [...event.clipboardData.files][0]; if (file) { event.preventDefault(); takeFile(file); } });
addEventListener("dragover", (event) => { event.preventDefault(); byId("drop").hidden = byId("shelf").open; });
addEventListener("dragleave", (event) => { if (!event.relatedTarget) byId("drop").hidden = true; });
addEventListener("drop", (event) => { event.preventDefault(); byId("drop").hidden = true; if (!byId("shelf").open) takeFile(event.dataTransfer.files[0]); });
addEventListener("keydown", (event) => {
  if (event.target.closest("input, textarea, select, dialog")) {
    if (event.key === "ArrowDown" && event.target === query && grid.count) { event.preventDefault(); grid.focus(0); }
    return;
  }
  if (event.key === "/") { event.preventDefault(); query.focus(); query.select(); }
});
const bar = document.querySelector(".bar");
new ResizeObserver(() => { byId("results").dataset.bar = bar.offsetHeight; document.documentElement.style.setProperty("--bar", `${bar.offsetHeight}px`); }).observe(bar);
const ready = begin();
