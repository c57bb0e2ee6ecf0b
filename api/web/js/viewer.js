// One picture: zoom and pan down to its own pixels, the words in it where they stand (to be selected), cited places, its
// pages or moments, what is known of it, and what looks like it.
import * as api from "./api.js";
import { blur } from "./blur.js";
import { button, clock, el, nameOf } from "./dom.js";
import { S } from "./strings.js";

const SHOWN = /\.(jpe?g|png|webp|gif|avif|bmp)$/i; // what browsers show as it is; else the largest thumbnail
const LARGEST = 4096, FIRST = 1024, STRIP = 400;

export class Viewer {
  constructor(dialog, { onLike, onOpened }) {
    Object.assign(this, { dialog, onLike, onOpened });
    dialog.addEventListener("keydown", (event) => this.key(event));
    dialog.addEventListener("close", () => { this.asking?.abort(); this.watching?.disconnect(); dialog.replaceChildren(); this.back?.focus?.(); onOpened(null); });
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  }

  // items: [{id, uri, width, height, ...}] with holes; box: the cited place in the first one, [x0, y0, x1, y1].
  open(items, index, { box, quote } = {}) {
    this.items = items;
    if (!this.dialog.open) this.back = document.activeElement;
    this.show(index, box, quote);
    if (!this.dialog.open) this.dialog.showModal();
    this.fit();
    this.dialog.querySelector(".close").focus({ preventScroll: true });
  }

  show(index, box, quote) {
    const item = this.items[index];
    if (!item) return;
    box ??= item.region; // of a sheet, the picture on it that was found
    this.index = index;
    this.item = item;
    this.asking?.abort();
    this.asking = new AbortController();
    this.scale = 1; this.x = 0; this.y = 0; this.sharp = FIRST;
    const name = nameOf(item.uri);
    this.picture = el("img", { alt: S.picture(name), draggable: false, src: api.thumbnail(item.id, FIRST) });
    this.words = el("div", { class: "words" });
    this.cited = el("div", { class: "cited" });
    this.sheet = el("div", { class: "sheet" }, this.picture, this.words, this.cited);
    this.sheet.style.backgroundImage = blur(item.preview);
    this.stage = el("div", { class: "stage" }, this.sheet);
    this.strip = el("div", { class: "strip", hidden: true });
    this.side = el("aside", { class: "side", tabindex: "0", "aria-label": S.about });
    this.percent = button("", () => this.zoom(this.scale > 1 ? 1e-6 : this.natural), { class: "percent", title: S.fullSize });
    const step = (by, label, sign) => button(sign, () => this.show(index + by), { class: `step ${by < 0 ? "back" : "on"}`, "aria-label": label, hidden: !this.items[index + by] });
    const held = this.dialog.contains(document.activeElement) && document.activeElement;
    const again = held && (held.classList.contains("step") ? `.${held.className.split(" ").join(".")}:not([hidden])` : held.classList.contains("side") ? ".side" : null);
    this.dialog.setAttribute("aria-label", S.picture(name));
    this.dialog.replaceChildren(
      el("div", { class: "tools" }, el("h2", { title: item.uri }, name),
        button(S.like, () => { this.dialog.close(); this.onLike(item); }),
        el("span", { class: "group" }, button("−", () => this.zoom(1 / 1.5), { "aria-label": S.zoomOut }), this.percent, button("+", () => this.zoom(1.5), { "aria-label": S.zoomIn })),
        el("a", { class: "button", href: api.file(item.id), target: "_blank", rel: "noopener" }, S.original),
        button(S.close, () => this.dialog.close(), { class: "primary close" })),
      el("div", { class: "room" }, this.stage, step(-1, S.previous, "‹"), step(1, S.next, "›"), this.strip), this.side);
    // What had the focus is gone: its like has it now, so that keys go on working.
    if (held) (again && this.dialog.querySelector(again) || this.dialog.querySelector(".close")).focus({ preventScroll: true });
    this.fit();
    this.drag();
    if (box) this.cited.append(this.place(el("mark", { title: quote || "", "data-box": box.join(",") }), item, box));
    this.about(item);
    this.family(item);
    this.alike(item);
    this.watching?.disconnect();
    this.watching = new ResizeObserver(() => this.fit());
    this.watching.observe(this.stage);
    this.onOpened(item, box);
    for (const near of [1, -1]) if (this.items[index + near]) new Image().src = api.thumbnail(this.items[index + near].id, FIRST);
  }

  // Places on the picture are in per cent of it, so they stay right at any zoom.
  place(node, item, [x0, y0, x1, y1]) {
    Object.assign(node.style, {
      left: `${100 * x0 / item.width}%`, top: `${100 * y0 / item.height}%`,
      width: `${100 * (x1 - x0) / item.width}%`, height: `${100 * (y1 - y0) / item.height}%`,
    });
    return node;
  }

  async ask(work) {
    const { signal } = this.asking;
    try { const found = await work(signal); return signal.aborted ? null : found; } catch (error) { return error.name === "AbortError" ? null : { error }; }
  }

  async about(item) {
    const found = await this.ask((signal) => api.image(item.id, signal));
    if (!found) return;
    if (found.error) return this.side.prepend(el("p", {}, found.error.message));
    for (const line of found.lines || []) this.words.append(this.place(el("span", {}, line.text), found, line.box));
    this.scaleWords();
    const said = found.about || {};
    const rows = [
      [S.title, said.title], [S.description, said.description], [S.caption, found.caption], [S.people, said.people?.join(", ")],
      [S.rating, said.rating > 0 ? "★".repeat(said.rating) : null], [S.creator, said.creator],
      [S.file, found.uri.replace(/^upload:/, "")], [S.page, found.page], [S.time, found.time_s === null ? null : clock(found.time_s)],
      [S.taken, found.taken_at && found.taken_at.replace("T", " ") + (said.taken_from === "name" ? ` ${S.byName}` : "")],
      [S.fileDate, found.file_date && `${new Date(found.file_date).toLocaleDateString()} ${S.notTaken}`], [S.size, `${found.width} × ${found.height}`], [S.camera, found.camera],
      [S.place, typeof found.lat === "number" ? `${found.lat.toFixed(4)}, ${found.lon.toFixed(4)}` : null],
      [S.tags, found.tags?.join(", ")], [S.collection, found.collection],
    ].filter(([, value]) => value);
    const copy = button(S.copyWords, async () => { await navigator.clipboard.writeText(found.text); copy.textContent = S.copied; }, { class: "plain" });
    const video = found.kind === "frame" && found.time_s !== null ? button(S.play(clock(found.time_s)), () => this.play(item.id, found), { class: "primary" })
      : found.motion ? button(S.playMotion, () => this.film(api.motion(item.id)), { class: "primary" }) : "";
    this.side.prepend(video, el("h3", {}, S.about),
      el("dl", {}, rows.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, String(value))])),
      el("h3", {}, S.words), ...(found.text ? [el("pre", {}, found.text), copy] : [el("p", { class: "quiet" }, S.noWords)]),
      ...(found.copies?.length ? [el("h3", {}, S.sameFiles), el("ul", { class: "copies" }, found.copies.map((uri) => el("li", {}, uri.replace(/^upload:/, ""))))] : []));
  }

  // The other pages of a document, the other moments of a video.
  async family(item) {
    const found = await this.ask((signal) => api.siblings(item.id, signal));
    if (!found?.images || found.images.length < 2) return;
    const moments = found.images.some((each) => each.time_s !== null);
    this.strip.hidden = false;
    this.strip.setAttribute("aria-label", (moments ? S.momentsOf : S.pagesOf)(found.total));
    this.strip.setAttribute("role", "group");
    this.strip.replaceChildren(...found.images.slice(0, STRIP).map((each) => this.small(each, each.page ? `${S.page} ${each.page}` : clock(each.time_s ?? 0), {
      "aria-current": each.id === item.id ? "true" : undefined,
      onclick: () => { if (each.id !== item.id) { this.items = found.images; this.show(found.images.findIndex((one) => one.id === each.id)); } },
    })));
    this.strip.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  }

  // What is nearly the same picture, and what looks like it.
  async alike(item) {
    const found = await this.ask((signal) => api.search(item.collection || this.collection, { image: item.id, top_k: 9, all: true }, signal));
    if (!found?.hits) return;
    const near = new Set([item, ...found.hits.filter((hit) => hit.id === item.id)].flatMap((hit) => hit.similar || []));
    const others = found.hits.filter((hit) => hit.id !== item.id && !near.has(hit.id)).slice(0, 8);
    const row = (title, pictures) => pictures.length && this.side.append(el("h3", {}, title), el("div", { class: "smalls" }, pictures.map((each) => this.small(each, "", {
      onclick: () => { this.items = pictures; this.show(pictures.indexOf(each)); },
    }))));
    const same = [];
    for (const id of [...near].slice(0, 12)) { const one = await this.ask((signal) => api.image(id, signal)); if (one?.id) same.push(one); }
    if (this.item !== item) return;
    row(S.nearDuplicates, same);
    row(S.alike, others);
  }

  small(each, label, props) {
    const name = nameOf(each.uri) + (label ? `, ${label}` : "");
    const made = el("button", { type: "button", class: "small", "aria-label": S.picture(name), title: name, ...props },
      el("img", { alt: "", loading: "lazy", src: api.thumbnail(each.id, 256) }), label ? el("span", {}, label) : "");
    made.style.backgroundImage = blur(each.preview);
    return made;
  }

  play(id, found) {
    if (SHOWN.test(nameOf(found.uri))) { // an animation: a browser plays it as the picture that it is
      this.stage.replaceChildren(el("img", { class: "moving", alt: nameOf(found.uri), src: api.file(id) }));
      return;
    }
    this.film(`${api.file(id)}#t=${found.time_s}`);
  }

  film(src) {
    const video = el("video", { controls: true, autoplay: true, src });
    video.addEventListener("error", () => video.replaceWith(el("p", { class: "novideo" }, S.noVideo)), { once: true });
    this.stage.replaceChildren(video);
  }

  fit() {
    const { clientWidth: width, clientHeight: height } = this.stage;
    if (!width || !height) return;
    const scale = Math.min(width / this.item.width, height / this.item.height);
    Object.assign(this.sheet.style, { width: `${this.item.width * scale}px`, height: `${this.item.height * scale}px` });
    this.natural = Math.max(1, 1 / scale);
    this.apply();
    this.scaleWords();
  }

  scaleWords() {
    const high = this.sheet.clientHeight;
    for (const span of this.words.children) span.style.fontSize = `${Math.max(2, parseFloat(span.style.height) / 100 * high * 0.8)}px`;
    // Each line as wide as it stands in the picture, so that what is selected lies over what is read.
    const wide = [...this.words.children].map((span) => [span, span.clientWidth, span.scrollWidth]);
    for (const [span, box, text] of wide) {
      const letters = Math.max(1, span.textContent.length);
      span.style.letterSpacing = text && text !== box ? `${Math.max(-4, (box - text) / letters)}px` : "";
    }
  }

  zoom(by, at) {
    const next = Math.min(Math.max(1, this.scale * by), Math.max(4, this.natural * 2));
    const box = this.stage.getBoundingClientRect();
    const [px, py] = at || [box.width / 2, box.height / 2];
    const dx = px - box.width / 2 - this.x, dy = py - box.height / 2 - this.y;
    this.x -= dx * (next / this.scale - 1);
    this.y -= dy * (next / this.scale - 1);
    this.scale = next;
    this.apply();
  }

  apply() {
    // The picture is never pushed out of sight.
    const most = (side, room) => Math.max(0, (side * this.scale - room) / 2);
    const wide = most(this.sheet.clientWidth, this.stage.clientWidth), high = most(this.sheet.clientHeight, this.stage.clientHeight);
    this.x = Math.min(wide, Math.max(-wide, this.x));
    this.y = Math.min(high, Math.max(-high, this.y));
    this.sheet.style.transform = `translate(-50%, -50%) translate(${this.x}px, ${this.y}px) scale(${this.scale})`;
    this.stage.classList.toggle("zoomed", this.scale > 1);
    this.percent.textContent = S.pixels(Math.round(100 * this.scale / this.natural));
    this.sharpen();
  }

  // As many pixels as the screen shows: a larger thumbnail, and in the end the file itself.
  sharpen() {
    const wanted = Math.max(this.sheet.clientWidth, this.sheet.clientHeight) * this.scale * Math.min(2, devicePixelRatio);
    const own = Math.max(this.item.width, this.item.height);
    const next = wanted <= this.sharp || this.sharp >= own ? null : [2048, LARGEST].find((size) => size >= Math.min(wanted, own)) || LARGEST;
    if (!next || next === this.sharp) return;
    this.sharp = next;
    const original = next > 2048 && this.item.kind === "photo" && SHOWN.test(nameOf(this.item.uri));
    if (original) this.sharp = Infinity;
    const better = new Image();
    const { picture } = this;
    better.addEventListener("load", () => { picture.src = better.src; }, { once: true });
    better.src = original ? api.file(this.item.id) : api.thumbnail(this.item.id, next);
  }

  drag() {
    const fingers = new Map();
    let apart = 0, began = null;
    const { stage } = this;
    stage.addEventListener("wheel", (event) => {
      event.preventDefault();
      const box = stage.getBoundingClientRect();
      this.zoom(Math.exp(-event.deltaY / 400), [event.clientX - box.left, event.clientY - box.top]);
    }, { passive: false });
    stage.addEventListener("dblclick", (event) => {
      if (event.target.closest(".words span")) return;
      const box = stage.getBoundingClientRect();
      this.zoom(this.scale > 1 ? 1e-6 : Math.max(2, this.natural), [event.clientX - box.left, event.clientY - box.top]);
    });
    stage.addEventListener("pointerdown", (event) => {
      if (event.target.closest("video") || event.target.closest(".words span") && event.pointerType === "mouse") return; // words can be selected
      fingers.set(event.pointerId, event);
      began = event;
      stage.setPointerCapture(event.pointerId);
    });
    stage.addEventListener("pointermove", (event) => {
      const before = fingers.get(event.pointerId);
      if (!before) return;
      fingers.set(event.pointerId, event);
      if (fingers.size === 2) {
        const [a, b] = [...fingers.values()];
        const now = Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
        const box = stage.getBoundingClientRect();
        if (apart) this.zoom(now / apart, [(a.clientX + b.clientX) / 2 - box.left, (a.clientY + b.clientY) / 2 - box.top]);
        apart = now;
      } else if (this.scale > 1) {
        this.x += event.clientX - before.clientX;
        this.y += event.clientY - before.clientY;
        this.apply();
      }
    });
    for (const name of ["pointerup", "pointercancel"]) {
      stage.addEventListener(name, (event) => {
        const far = began && event.clientX - began.clientX;
        if (name === "pointerup" && event.pointerType === "touch" && fingers.size === 1 && this.scale === 1 && Math.abs(far) > 60) this.show(this.index + (far < 0 ? 1 : -1));
        fingers.delete(event.pointerId);
        apart = 0;
      });
    }
  }

  key(event) {
    if (event.target.closest("aside, video") && event.key.startsWith("Arrow") || event.ctrlKey || event.metaKey || event.altKey) return;
    const act = {
      ArrowRight: () => this.show(this.index + 1), ArrowLeft: () => this.show(this.index - 1),
      "+": () => this.zoom(1.5), "=": () => this.zoom(1.5), "-": () => this.zoom(1 / 1.5), 0: () => this.zoom(1e-6), 1: () => this.zoom(this.natural / this.scale),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }
}
