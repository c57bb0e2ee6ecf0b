// The years at the side of the wall: where in time one is, and a way to be elsewhere at once.
import { el } from "./dom.js";
import { S } from "./strings.js";

const LINE = 22;

export class Rail {
  constructor(holder, grid) {
    Object.assign(this, { holder, grid, months: [] });
    this.bubble = el("span", { class: "bubble", "aria-hidden": "true" });
    addEventListener("scroll", () => this.follow(), { passive: true });
    holder.addEventListener("pointerdown", (event) => { holder.setPointerCapture(event.pointerId); this.held = true; this.jump(event.clientY); });
    holder.addEventListener("pointermove", (event) => this.held && this.jump(event.clientY));
    for (const name of ["pointerup", "pointercancel"]) holder.addEventListener(name, () => { this.held = false; });
  }

  // months: [{month: "2024-05" | null, first}], newest first.
  show(months) {
    this.months = months;
    const years = months.filter((each, i) => each.month && each.month.slice(0, 4) !== months[i - 1]?.month?.slice(0, 4));
    const { layout } = this.grid;
    this.holder.hidden = years.length < 2 || layout.height < innerHeight * 2;
    if (this.holder.hidden) return;
    let last = -LINE;
    const high = this.holder.clientHeight;
    this.holder.replaceChildren(this.bubble, ...years.flatMap((each) => {
      const at = this.share(each.first) * high;
      if (at - last < LINE || at > high - LINE) return [];
      last = at;
      const year = el("span", { class: "year" }, each.month.slice(0, 4));
      year.style.top = `${at}px`;
      return [year];
    }));
    this.follow();
  }

  share(index) { const { layout } = this.grid; return layout.tops[layout.rowOf(index)] / Math.max(1, layout.height); }

  jump(y) {
    const box = this.holder.getBoundingClientRect();
    scrollTo(0, this.grid.top() + Math.min(1, Math.max(0, (y - box.top) / box.height)) * this.grid.layout.height);
  }

  follow() {
    if (this.holder.hidden) return;
    if (scrollY !== this.last) {
      this.last = scrollY;
      this.holder.classList.add("moving");
      clearTimeout(this.still);
      this.still = setTimeout(() => this.holder.classList.remove("moving"), 900);
    }
    const { layout } = this.grid, y = scrollY - this.grid.top();
    const index = layout.firsts[layout.rowAt(y + 40)] ?? 0;
    const at = this.months.findLast((each) => each.first <= index);
    this.bubble.textContent = at ? S.month(at.month) : "";
    this.bubble.style.top = `${Math.min(1, Math.max(0, y / Math.max(1, layout.height))) * this.holder.clientHeight}px`;
  }
}
