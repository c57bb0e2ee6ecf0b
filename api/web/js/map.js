// Where pictures were taken, on a map that comes with the page: nothing is asked of anybody else. Wheel, fingers or
// the buttons zoom, dragging moves; a dot narrows the search to its surroundings.
import * as api from "./api.js";
import { button, debounce, el, svg } from "./dom.js";
import { S } from "./strings.js";

const MOST_ZOOM = 64, TOGETHER = 34; // dots nearer than so many pixels are one

export class PlaceMap {
  constructor(onChoose) {
    this.onChoose = onChoose;
    this.zoom = 1; this.x = 0; this.y = 0; // the middle, in degrees east and north
    this.dots = svg("svg", { class: "dots", role: "group", "aria-label": S.facet.places });
    this.land = el("div", { class: "land" });
    this.view = el("div", { class: "map" }, this.land, this.dots,
      el("div", { class: "zooms" }, button("+", () => this.scale(2), { "aria-label": S.zoomIn }), button("−", () => this.scale(0.5), { "aria-label": S.zoomOut })));
    this.fetch = debounce(() => this.load(), 150);
    this.drag();
    new ResizeObserver(() => this.draw()).observe(this.view);
  }

  async show(collection) {
    this.collection = collection;
    this.zoom = 1; this.x = 0; this.y = 0;
    const found = await api.places(collection, 4);
    this.places = found.places;
    if (found.places.length) this.frame(found.places);
    await this.load();
    return found.total;
  }

  // So near that all places are to be seen.
  frame(places) {
    const lats = places.map((p) => p.lat), lons = places.map((p) => p.lon);
    const [west, east, south, north] = [Math.min(...lons), Math.max(...lons), Math.min(...lats), Math.max(...lats)];
    this.x = (west + east) / 2; this.y = (south + north) / 2;
    this.zoom = Math.min(16, Math.max(1, Math.min(360 / (east - west + 20), 180 / (north - south + 20))));
  }

  async load() {
    const wanted = this.collection;
    const found = await api.places(wanted, Math.max(0.02, 6 / this.zoom)).catch(() => null);
    if (!found || wanted !== this.collection) return;
    this.places = found.places;
    this.draw();
  }

  scale(by, [px, py] = [0, 0]) {
    const before = this.zoom;
    this.zoom = Math.min(MOST_ZOOM, Math.max(1, this.zoom * by));
    const grown = 1 / before - 1 / this.zoom;
    const width = this.view.clientWidth || 1;
    this.x += px * 360 / width * grown; this.y -= py * 360 / width * grown;
    this.draw();
    this.fetch();
  }

  draw() {
    const width = this.view.clientWidth, height = this.view.clientHeight;
    if (!width) return;
    const unit = width / 360 * this.zoom; // pixels a degree
    const tall = height / unit / 2, wide = width / unit / 2;
    this.x = Math.min(180 - wide, Math.max(wide - 180, this.x));
    this.y = tall > 90 ? 0 : Math.min(90 - tall, Math.max(tall - 90, this.y));
    const left = width / 2 - (this.x + 180) * unit, top = height / 2 - (90 - this.y) * unit;
    Object.assign(this.land.style, { left: `${left}px`, top: `${top}px`, width: `${360 * unit}px`, height: `${180 * unit}px` });
    this.dots.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const places = merged(this.places || [], TOGETHER / unit);
    const most = Math.max(1, ...places.map((p) => p.count));
    this.dots.replaceChildren(...places.flatMap((place) => {
      const cx = left + (place.lon + 180) * unit, cy = top + (90 - place.lat) * unit;
      if (cx < -20 || cy < -20 || cx > width + 20 || cy > height + 20) return [];
      const choose = () => this.choose(place);
      const radius = 6 + 12 * Math.sqrt(place.count / most);
      const dot = svg("g", { class: "dot", tabindex: "0", role: "button", "aria-label": S.picturesHere(place.count),
        onclick: choose, onkeydown: (event) => (event.key === "Enter" || event.key === " ") && (event.preventDefault(), choose()) },
      svg("circle", { cx, cy, r: radius }));
      if (radius > 10) { const text = svg("text", { x: cx, y: cy + 4 }); text.textContent = place.count; dot.append(text); }
      return [dot];
    }));
  }

  choose(place) {
    // Wide enough for all that the dot stands for: its squares reach half their side beyond their middles.
    const far = Math.max(...place.of.map((one) => Math.hypot(one.lat - place.lat, (one.lon - place.lon) * Math.cos(place.lat * Math.PI / 180))));
    const km = (far + Math.max(0.02, 6 / this.zoom) * 0.75) * 111.2;
    this.onChoose({ lat: Number(place.lat.toFixed(4)), lon: Number(place.lon.toFixed(4)), km: Math.max(2, Math.round(Math.min(19_000, km))) });
  }

  drag() {
    const fingers = new Map();
    let apart = 0;
    this.view.addEventListener("wheel", (event) => {
      event.preventDefault();
      const box = this.view.getBoundingClientRect();
      this.scale(Math.exp(-event.deltaY / 300), [event.clientX - box.left - box.width / 2, event.clientY - box.top - box.height / 2]);
    }, { passive: false });
    this.view.addEventListener("pointerdown", (event) => { if (!event.target.closest("button")) fingers.set(event.pointerId, event); });
    this.view.addEventListener("pointermove", (event) => {
      const before = fingers.get(event.pointerId);
      if (!before) return;
      fingers.set(event.pointerId, event);
      if (fingers.size === 2) {
        const [a, b] = [...fingers.values()];
        const now = Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
        if (apart) this.scale(now / apart);
        apart = now;
        return;
      }
      const unit = this.view.clientWidth / 360 * this.zoom;
      this.x -= (event.clientX - before.clientX) / unit;
      this.y += (event.clientY - before.clientY) / unit;
      this.draw();
    });
    for (const name of ["pointerup", "pointercancel", "pointerleave"]) {
      this.view.addEventListener(name, (event) => { fingers.delete(event.pointerId); apart = 0; });
    }
  }
}

// Places come by squares: neighbours across a border are put together, the larger ones first.
function merged(places, degrees) {
  const kept = [];
  for (const each of places) {
    const near = kept.find((one) => Math.hypot(one.lat - each.lat, one.lon - each.lon) < degrees);
    if (!near) { kept.push({ ...each, of: [each] }); continue; }
    const count = near.count + each.count;
    near.lat = (near.lat * near.count + each.lat * each.count) / count;
    near.lon = (near.lon * near.count + each.lon * each.count) / count;
    near.count = count;
    near.of.push(each);
  }
  return kept;
}
