// One picture: zoom and pan, the words in it where they stand (to be selected), cited places, what is known.
import * as api from "./api.js";
import { el, nameOf } from "./dom.js";
import { clock } from "./grid.js";
import { S } from "./strings.js";

export class Viewer {
  constructor(dialog, onLike) {
    this.dialog = dialog;
    this.onLike = onLike;
    dialog.addEventListener("keydown", (event) => this.key(event));
    dialog.addEventListener("close", () => { this.asking?.abort(); this.back?.focus(); });
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  }

  // items: [{id, uri, width, height, ...}]; box: the cited place in the first one, [x0, y0, x1, y1].
  open(items, index, { box, quote } = {}) {
    this.items = items;
    if (!this.dialog.open) this.back = document.activeElement;
    this.show(index, box, quote);
    if (!this.dialog.open) this.dialog.showModal();
  }

  show(index, box, quote) {
    this.index = index;
    const item = this.items[index];
    this.asking?.abort();
    this.asking = new AbortController();
    this.scale = 1; this.x = 0; this.y = 0;
    const name = nameOf(item.uri);
    const picture = el("img", { alt: S.picture(name), src: api.thumbnail(item.id, 2048), draggable: false });
    this.words = el("div", { class: "words" });
    this.cited = el("div", { class: "cited" });
    this.sheet = el("div", { class: "sheet" }, picture, this.words, this.cited);
    this.stage = el("div", { class: "stage" }, this.sheet);
    this.side = el("aside", { class: "side", tabindex: "0", "aria-label": S.about });
    const step = (by, label, sign) => el("button", {
      type: "button", class: `step ${by < 0 ? "back" : "on"}`, "aria-label": label,
      hidden: !this.items[index + by], onclick: () => this.show(index + by),
    }, sign);
    this.dialog.setAttribute("aria-label", S.picture(name));
    this.dialog.replaceChildren(
      el("div", { class: "tools" },
        el("h2", {}, name),
        el("button", { type: "button", onclick: () => { this.dialog.close(); this.onLike(item); } }, S.like),
        el("button", { type: "button", "aria-label": S.zoomOut, onclick: () => this.zoom(1 / 1.5) }, "−"),
        el("button", { type: "button", "aria-label": S.zoomIn, onclick: () => this.zoom(1.5) }, "+"),
        el("a", { class: "button", href: api.file(item.id), target: "_blank", rel: "noopener" }, S.original),
        el("button", { type: "button", class: "primary", onclick: () => this.dialog.close() }, S.close)),
      this.stage, step(-1, S.previous, "‹"), step(1, S.next, "›"), this.side);
    this.fit(item);
    this.drag();
    this.mark(item, box, quote);
    this.about(item);
    new ResizeObserver(() => this.fit(item)).observe(this.stage);
  }

  // Places on the picture are in per cent of it, so they stay right at any zoom.
  place(node, item, [x0, y0, x1, y1]) {
    Object.assign(node.style, {
      left: `${100 * x0 / item.width}%`, top: `${100 * y0 / item.height}%`,
      width: `${100 * (x1 - x0) / item.width}%`, height: `${100 * (y1 - y0) / item.height}%`,
    });
    return node;
  }

  mark(item, box, quote) {
    if (!box) return;
    this.cited.append(this.place(el("mark", { title: quote || "", "data-box": box.join(",") }), item, box));
  }

  async about(item) {
    let found;
    try { found = await api.image(item.id, this.asking.signal); } catch (error) {
      if (error.name !== "AbortError") this.side.replaceChildren(el("p", {}, error.message));
      return;
    }
    for (const line of found.lines || []) {
      this.words.append(this.place(el("span", {}, line.text), found, line.box));
    }
    this.scaleWords(found);
    const rows = [
      [S.file, found.uri], [S.page, found.page], [S.time, found.time_s === null ? null : clock(found.time_s)],
      [S.taken, found.taken_at?.replace("T", " ")], [S.size, `${found.width} × ${found.height}`], [S.camera, found.camera],
      [S.place, found.lat === null || found.lat === undefined ? null : `${found.lat.toFixed(4)}, ${found.lon.toFixed(4)}`],
      [S.tags, found.tags?.join(", ")],
    ].filter(([, value]) => value);
    this.side.replaceChildren(
      el("h3", {}, S.about),
      el("dl", {}, rows.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, String(value))])),
      el("h3", {}, S.words),
      found.text ? el("pre", {}, found.text) : el("p", {}, S.noWords));
  }

  fit(item) {
    const { clientWidth: width, clientHeight: height } = this.stage;
    if (!width || !height) return;
    const scale = Math.min(width / item.width, height / item.height);
    Object.assign(this.sheet.style, { width: `${item.width * scale}px`, height: `${item.height * scale}px` });
    this.natural = 1 / scale;
    this.apply();
    this.scaleWords(item);
  }

  scaleWords(item) {
    const high = this.sheet.clientHeight / item.height;
    for (const span of this.words.children) {
      span.style.fontSize = `${Math.max(2, parseFloat(span.style.height) / 100 * item.height * high * 0.8)}px`;
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
    if (next === 1) { this.x = 0; this.y = 0; }
    this.apply();
  }

  apply() {
    this.sheet.style.transform = `translate(-50%, -50%) translate(${this.x}px, ${this.y}px) scale(${this.scale})`;
    this.stage.classList.toggle("zoomed", this.scale > 1);
  }

  drag() {
    const fingers = new Map();
    let apart = 0;
    this.stage.addEventListener("wheel", (event) => {
      event.preventDefault();
      const box = this.stage.getBoundingClientRect();
      this.zoom(Math.exp(-event.deltaY / 400), [event.clientX - box.left, event.clientY - box.top]);
    }, { passive: false });
    this.stage.addEventListener("dblclick", (event) => {
      const box = this.stage.getBoundingClientRect();
      this.zoom(this.scale > 1 ? 1e-6 : Math.max(2, this.natural), [event.clientX - box.left, event.clientY - box.top]);
    });
    this.stage.addEventListener("pointerdown", (event) => {
      if (event.target.closest(".words span") && event.pointerType === "mouse") return; // words can be selected
      fingers.set(event.pointerId, event);
      this.stage.setPointerCapture(event.pointerId);
    });
    this.stage.addEventListener("pointermove", (event) => {
      const before = fingers.get(event.pointerId);
      if (!before) return;
      fingers.set(event.pointerId, event);
      if (fingers.size === 2) {
        const [a, b] = [...fingers.values()];
        const now = Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
        if (apart) this.zoom(now / apart);
        apart = now;
      } else if (this.scale > 1) {
        this.x += event.clientX - before.clientX;
        this.y += event.clientY - before.clientY;
        this.apply();
      }
    });
    for (const name of ["pointerup", "pointercancel"]) {
      this.stage.addEventListener(name, (event) => { fingers.delete(event.pointerId); apart = 0; });
    }
  }

  key(event) {
    if (event.target.closest("aside")) return;
    const act = {
      ArrowRight: () => this.items[this.index + 1] && this.show(this.index + 1),
      ArrowLeft: () => this.items[this.index - 1] && this.show(this.index - 1),
      "+": () => this.zoom(1.5), "=": () => this.zoom(1.5), "-": () => this.zoom(1 / 1.5), 0: () => this.zoom(1e-6),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }
}
