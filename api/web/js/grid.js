// The wall of pictures: only what is near the screen is in the page, however many there are. Arrow keys move, Enter
// opens. Data may come later than the layout: a tile without it is an empty frame of the right size.
import { thumbnail } from "./api.js";
import { blur } from "./blur.js";
import { clock, el, nameOf } from "./dom.js";
import { GAP, HEAD, Layout } from "./layout.js";
import { S } from "./strings.js";

const AHEAD = 1.2; // screens above and below that are in the page too

export class Grid {
  constructor(holder, { onOpen, onNeed }) {
    Object.assign(this, { holder, onOpen, onNeed, items: [], tiles: new Map(), heads: new Map(), current: 0 });
    this.clear();
    new ResizeObserver(() => this.width !== holder.clientWidth && this.relayout()).observe(holder);
    addEventListener("scroll", () => this.later(), { passive: true });
    addEventListener("resize", () => this.later());
    holder.addEventListener("keydown", (event) => this.key(event));
  }

  clear() {
    this.items = []; this.count = 0; this.shape = null; this.titles = new Map(); this.current = 0; this.lit = null;
    this.relayout();
  }

  // A search: pictures are added at the end.
  add(items) {
    this.items.push(...items);
    this.count = this.items.length;
    this.layout.extend(this.count);
    this.paint();
  }

  // A whole collection: all shapes are known, pictures come as they are needed. titles: first index -> heading.
  wall(count, shape, titles) {
    Object.assign(this, { count, shape, titles, items: new Array(count), current: 0 });
    this.relayout();
  }

  put(first, items) {
    items.forEach((item, i) => {
      this.items[first + i] = item;
      const tile = this.tiles.get(first + i);
      if (tile) this.dress(tile, first + i);
    });
  }

  relayout() {
    const anchor = this.layout && this.count ? this.anchor() : null;
    this.width = this.holder.clientWidth;
    for (const tile of this.tiles.values()) tile.remove();
    for (const head of this.heads.values()) head.remove();
    this.tiles.clear(); this.heads.clear();
    const ratio = (i) => this.items[i] ? this.items[i].width / Math.max(1, this.items[i].height) : this.shape?.(i) || 1.33;
    this.layout = new Layout(this.width, this.shape ? (i) => this.shape(i) : ratio, this.titles);
    this.layout.extend(this.count);
    if (anchor) scrollTo(0, this.top() + this.layout.tops[this.layout.rowOf(anchor.index)] - anchor.off);
    this.paint();
  }

  top() { return this.holder.getBoundingClientRect().top + scrollY; }

  // The first picture on screen, so that turning the phone keeps the place.
  anchor() {
    const y = scrollY - this.top();
    if (y <= 0) return null;
    const row = this.layout.rowAt(y);
    return { index: this.layout.firsts[row], off: this.layout.tops[row] - y };
  }

  later() {
    this.frame ||= requestAnimationFrame(() => { this.frame = 0; this.paint(); });
  }

  paint() {
    const { layout, holder } = this;
    holder.style.height = `${Math.max(0, layout.height)}px`;
    if (!this.count) return;
    const y = scrollY - this.top(), near = innerHeight * AHEAD;
    const from = layout.rowAt(y - near), to = layout.rowAt(y + innerHeight + near);
    const first = layout.firsts[from], end = layout.endOf(to);
    for (const [i, tile] of this.tiles) {
      if ((i < first || i >= end) && tile !== document.activeElement) { tile.remove(); this.tiles.delete(i); }
    }
    for (const [i, head] of this.heads) if (i < first || i >= end) { head.remove(); this.heads.delete(i); }
    for (let row = from; row <= to; row++) {
      for (const [i, x, top, width, height] of layout.boxes(row)) {
        if (this.titles.has(i) && !this.heads.has(i)) this.heads.set(i, this.place(this.head(i), i, 0, top - HEAD));
        const box = `${x} ${top} ${width} ${height}`;
        const there = this.tiles.get(i);
        if (there?.dataset.box === box) continue;
        const tile = there || this.tile(i);
        tile.dataset.box = box;
        tile.style.width = `${width}px`; tile.style.height = `${height}px`;
        tile.style.transform = `translate(${x}px, ${top}px)`;
        if (there) continue;
        this.place(tile, i, x, top);
        this.tiles.set(i, tile);
        this.dress(tile, i);
      }
    }
    this.onNeed(first, end);
  }

  // In the order of the wall, so that Tab and screen readers go the way the eye goes.
  place(node, index, x, y) {
    node.dataset.at = index;
    node.style.transform = `translate(${x}px, ${y}px)`;
    let after = this.holder.lastElementChild;
    while (after && Number(after.dataset.at) > index) after = after.previousElementSibling;
    after ? after.after(node) : this.holder.prepend(node);
    return node;
  }

  head(index) { return el("h2", { class: "head" }, this.titles.get(index)); }

  tile(index) {
    return el("button", {
      type: "button", class: "tile", tabindex: index === this.current ? "0" : "-1",
      onclick: () => this.items[index] && this.onOpen(index),
      onfocus: () => this.rove(index),
    });
  }

  dress(tile, index) {
    const hit = this.items[index];
    if (!hit) return tile.setAttribute("aria-label", S.loading);
    const name = nameOf(hit.uri) + (hit.page ? `, ${S.page.toLowerCase()} ${hit.page}` : "");
    const wide = tile.offsetWidth || parseFloat(tile.style.width), high = parseFloat(tile.style.height);
    const picture = el("img", { alt: "", decoding: "async", draggable: false });
    picture.addEventListener("load", () => picture.classList.add("here"), { once: true });
    picture.addEventListener("error", () => picture.classList.add("gone"), { once: true });
    const y = this.top() + Number(tile.dataset.box.split(" ")[1]) - scrollY;
    picture.fetchPriority = y + high > 0 && y < innerHeight ? "high" : "low"; // what is on screen first
    picture.src = thumbnail(hit.id, Math.max(wide, high) * Math.min(2, devicePixelRatio) > 560 ? 1024 : 512);
    if (picture.complete) picture.classList.add("here");
    tile.style.backgroundImage = blur(hit.preview);
    tile.setAttribute("aria-label", S.picture(name));
    tile.title = hit.snippet ? `${name}\n${hit.snippet}` : name;
    tile.classList.toggle("lit", this.lit === hit.id);
    const notes = [hit.page && `${S.page} ${hit.page}`, hit.time_s !== null && hit.time_s !== undefined && clock(hit.time_s),
      hit.missing && S.missing, hit.region && S.onIt, hit.duplicates && `+${hit.duplicates}`].filter(Boolean);
    tile.replaceChildren(picture, el("span", { class: "notes" }, notes.map((text) => el("span", { class: "badge" }, text))),
      hit.snippet ? el("span", { class: "snippet" }, hit.snippet) : "");
  }

  // Lights up a picture that is being talked about.
  light(id) {
    this.lit = id;
    for (const [i, tile] of this.tiles) tile.classList.toggle("lit", Boolean(id) && this.items[i]?.id === id);
  }

  rove(index) {
    const before = this.tiles.get(this.current);
    if (before) before.tabIndex = -1;
    this.current = index;
    const tile = this.tiles.get(index);
    if (tile) tile.tabIndex = 0;
  }

  focus(index) {
    if (index < 0 || index >= this.count) return;
    const row = this.layout.rowOf(index), y = this.top() + this.layout.tops[row], bar = this.holder.dataset.bar | 0;
    if (y < scrollY + bar + HEAD) scrollTo(0, y - bar - HEAD - GAP);
    else if (y + this.layout.heights[row] > scrollY + innerHeight) scrollTo(0, y + this.layout.heights[row] - innerHeight + GAP);
    this.rove(index);
    this.paint();
    this.tiles.get(index)?.focus({ preventScroll: true });
  }

  key(event) {
    const at = Number(document.activeElement?.dataset.at ?? NaN);
    if (Number.isNaN(at) || event.altKey || event.ctrlKey || event.metaKey) return;
    const screen = Math.max(1, Math.floor(innerHeight / (this.layout.target + GAP)) - 1);
    const far = (by) => { let i = at; for (let n = 0; n < screen; n++) i = this.layout.beside(i, by); return i; };
    const to = { ArrowRight: () => at + 1, ArrowLeft: () => at - 1, ArrowDown: () => this.layout.beside(at, 1),
      ArrowUp: () => this.layout.beside(at, -1), Home: () => 0, End: () => this.count - 1,
      PageDown: () => far(1), PageUp: () => far(-1) }[event.key]?.();
    if (to === undefined || to < 0 || to >= this.count) return;
    event.preventDefault();
    this.focus(to);
  }
}
