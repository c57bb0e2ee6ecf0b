// What one can narrow down by: years as a timeline, places on a map, kinds, cameras, tags. Read when it is opened.
import * as api from "./api.js";
import { button, el } from "./dom.js";
import { PlaceMap } from "./map.js";
import { S } from "./strings.js";

const MOST = 30;

export class Facets {
  // where: the filter now; onChange(field changes) sets it.
  constructor(panel, opener, { where, onChange }) {
    Object.assign(this, { panel, opener, where, onChange });
    opener.addEventListener("click", () => this.toggle());
    panel.addEventListener("keydown", (event) => { if (event.key === "Escape") { this.toggle(false); opener.focus(); } });
    this.map = new PlaceMap((near) => this.set({ near, country: undefined }));
  }

  toggle(open = this.panel.hidden) {
    this.panel.hidden = !open;
    this.opener.setAttribute("aria-expanded", String(open));
    if (open && this.shown !== this.collection) this.fill();
    if (open) this.map.draw();
  }

  use(collection) {
    this.collection = collection;
    this.shown = null;
    if (!this.panel.hidden) this.fill();
  }

  set(changes) {
    this.onChange(changes);
    this.mark();
  }

  async fill() {
    const wanted = this.collection;
    this.shown = wanted;
    if (!wanted) return;
    this.panel.replaceChildren(el("p", { class: "quiet" }, S.loading));
    let found, located;
    try { [found, located] = await Promise.all([api.facets(wanted), this.map.show(wanted)]); } catch (error) {
      this.panel.replaceChildren(el("p", { class: "quiet" }, error.message));
      return;
    }
    if (wanted !== this.collection) return;
    const group = (title, ...content) => el("section", {}, el("h3", {}, title), content);
    const list = (title, rows, field, value = (each) => each.value, label = (each) => each.label) => rows.length
      ? group(title, el("div", { class: "chips" }, rows.slice(0, MOST).map((each) => button([label(each), el("span", { class: "quiet" }, ` ${each.count.toLocaleString()}`)],
        () => this.set({ [field]: value(each) }), { class: "chip", "data-facet": `${field}=${JSON.stringify(value(each))}` })))) : "";
    const years = found.years.map((each) => ({ ...each, value: Number(each.value) })).sort((a, b) => a.value - b.value);
    const boxes = [
      years.length ? group(S.facet.years, this.timeline(years)) : "",
      located ? group(S.facet.places, this.map.view, el("p", { class: "quiet" }, S.located(located))) : "",
      list(S.facet.countries, found.countries, "country"),
      list(S.facet.kinds, found.kinds.length > 1 ? found.kinds : [], "kind", undefined, (each) => S.kind[each.value] || each.label),
      list(S.facet.cameras, found.cameras, "camera"),
      list(S.facet.tags, found.tags, "tags", (each) => [each.value]),
    ].filter(Boolean);
    this.panel.replaceChildren(...(boxes.length ? boxes : [el("p", { class: "quiet" }, S.noFacets)]));
    this.map.draw();
    this.mark();
  }

  // A bar a year, every year between the first and the last; a second one makes it a span.
  timeline(years) {
    const first = years[0].value, last = years.at(-1).value, most = Math.max(...years.map((each) => each.count));
    const counts = new Map(years.map((each) => [each.value, each.count]));
    // So long a time that bars would be hairs: only the years that have pictures.
    const shown = last - first < 80 ? Array.from({ length: last - first + 1 }, (_, i) => first + i) : years.map((each) => each.value);
    const every = Math.ceil(shown.length / 7);
    return el("div", { class: "years" }, shown.map((year, i) => {
      const count = counts.get(year) || 0;
      const bar = el("span", { class: "bar" });
      bar.style.height = `${count ? Math.max(6, 100 * Math.sqrt(count / most)) : 0}%`;
      return el("button", { type: "button", class: "yearbar", "data-year": String(year), title: S.yearOf(year, count), "aria-label": S.yearOf(year, count),
        onclick: (event) => this.year(year, event.shiftKey) },
      el("span", { class: "bars" }, bar), el("span", { class: "label", "aria-hidden": "true" }, i % every ? "" : String(year)));
    }));
  }

  year(year, extend) {
    const { after, before } = this.where();
    const from = Number(String(after || "").slice(0, 4)), until = Number(String(before || "").slice(0, 4)) - 1;
    if (from === year && until === year) return this.set({ after: undefined, before: undefined });
    const one = from && from === until || extend;
    const [low, high] = one && from ? [Math.min(from, year), Math.max(until || from, year)] : [year, year];
    this.set({ after: String(low), before: String(high + 1) });
  }

  // What is chosen now is to be seen.
  mark() {
    const where = this.where();
    const from = Number(String(where.after || "").slice(0, 4)), until = Number(String(where.before || "").slice(0, 4)) - 1;
    for (const bar of this.panel.querySelectorAll(".yearbar")) {
      const year = Number(bar.dataset.year);
      bar.setAttribute("aria-pressed", String(Boolean(where.after && where.before) && year >= from && year <= until));
    }
    for (const chip of this.panel.querySelectorAll("[data-facet]")) {
      const [field, value] = chip.dataset.facet.split(/=(.*)/s);
      chip.setAttribute("aria-pressed", String(JSON.stringify(where[field]) === value));
    }
  }
}
