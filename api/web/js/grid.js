// A justified grid: rows of equal height over the full width, known sizes first, so that nothing jumps when
// pictures arrive. Arrow keys move, Enter opens.
import { thumbnail } from "./api.js";
import { el, nameOf } from "./dom.js";
import { S } from "./strings.js";

const GAP = 6;

export class Grid {
  constructor(holder, onOpen) {
    this.holder = holder;
    this.onOpen = onOpen;
    this.hits = [];
    new ResizeObserver(() => this.layout()).observe(holder);
    holder.addEventListener("keydown", (event) => this.move(event));
  }

  clear() {
    this.hits = [];
    this.holder.replaceChildren();
  }

  add(hits) {
    for (const hit of hits) {
      const index = this.hits.push(hit) - 1;
      this.holder.append(this.tile(hit, index));
    }
    this.layout();
  }

  tile(hit, index) {
    const name = nameOf(hit.uri) + (hit.page ? `, ${S.page.toLowerCase()} ${hit.page}` : "");
    const picture = el("img", { alt: "", loading: "lazy", decoding: "async", src: thumbnail(hit.id, 480) });
    picture.addEventListener("load", () => picture.classList.add("here"), { once: true });
    picture.addEventListener("error", () => picture.classList.add("gone"), { once: true });
    const notes = [];
    if (hit.page) notes.push(el("span", { class: "badge" }, `${S.page} ${hit.page}`));
    if (hit.time_s !== null && hit.time_s !== undefined) notes.push(el("span", { class: "badge" }, clock(hit.time_s)));
    if (hit.duplicates) notes.push(el("span", { class: "badge" }, `+${hit.duplicates}`));
    return el("button", {
      type: "button", class: "tile", tabindex: index ? "-1" : "0", "aria-label": S.picture(name),
      title: hit.snippet ? `${name}\n${hit.snippet}` : name,
      onclick: () => this.onOpen(index),
      onfocus: (event) => this.rove(event.currentTarget),
    }, picture, el("span", { class: "notes" }, notes),
    hit.snippet ? el("span", { class: "snippet" }, hit.snippet) : undefined);
  }

  rove(tile) {
    for (const each of this.holder.querySelectorAll('.tile[tabindex="0"]')) each.tabIndex = -1;
    tile.tabIndex = 0;
  }

  focus(index) {
    this.holder.children[index]?.focus();
  }

  layout() {
    const width = this.holder.clientWidth;
    if (!width) return;
    const target = width < 500 ? 130 : width < 1000 ? 190 : 230;
    let row = [], ratios = 0;
    const place = (height) => {
      row.forEach(([tile, ratio], i) => {
        // The last one takes what rounding left, so that every row is as wide as the others.
        const used = row.slice(0, i).reduce((sum, [, r]) => sum + Math.floor(r * height) + GAP, 0);
        const full = i === row.length - 1 && height !== target;
        tile.style.width = `${full ? width - used : Math.floor(ratio * height)}px`;
        tile.style.height = `${Math.floor(height)}px`;
      });
      row = []; ratios = 0;
    };
    this.hits.forEach((hit, index) => {
      const ratio = Math.min(3, Math.max(0.45, hit.width / Math.max(1, hit.height)));
      row.push([this.holder.children[index], ratio]);
      ratios += ratio;
      const height = (width - GAP * (row.length - 1)) / ratios;
      if (height <= target) place(height);
    });
    if (row.length) place(target);
  }

  move(event) {
    const tiles = [...this.holder.children];
    const at = tiles.indexOf(document.activeElement);
    if (at < 0) return;
    const here = tiles[at].getBoundingClientRect();
    const middle = here.left + here.width / 2;
    const beside = (down) => {
      const rows = tiles.map((tile) => tile.getBoundingClientRect())
        .map((box, i) => ({ i, top: box.top, off: Math.abs(box.left + box.width / 2 - middle) }))
        .filter((box) => down ? box.top > here.top + 1 : box.top < here.top - 1);
      if (!rows.length) return at;
      const edge = down ? Math.min(...rows.map((r) => r.top)) : Math.max(...rows.map((r) => r.top));
      return rows.filter((r) => Math.abs(r.top - edge) < 2).sort((a, b) => a.off - b.off)[0].i;
    };
    const to = { ArrowRight: () => at + 1, ArrowLeft: () => at - 1, ArrowDown: () => beside(true), ArrowUp: () => beside(false), Home: () => 0, End: () => tiles.length - 1 }[event.key]?.();
    if (to === undefined || !tiles[to]) return;
    event.preventDefault();
    tiles[to].focus();
  }
}

export function clock(seconds) {
  const whole = Math.floor(seconds);
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return (parts[0] ? parts : parts.slice(1)).map((n, i) => i ? String(n).padStart(2, "0") : n).join(":");
}
