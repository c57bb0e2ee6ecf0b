// Who sees, reads and answers in a collection, and how a change of the model is going.
import * as api from "./api.js";
import { el } from "./dom.js";
import { S } from "./strings.js";

export class Models {
  constructor() { this.view = el("section", {}); }

  async refresh(collection) {
    if (!collection) return this.view.replaceChildren();
    let found;
    try { found = await api.models(collection); } catch (error) { return this.view.replaceChildren(el("h3", {}, S.models), el("p", { class: "quiet" }, error.message)); }
    const rows = [[S.embedder, found.embedder], [S.textEmbedder, found.text_embedder], [S.pageEmbedder, found.page_embedder], [S.generator, found.generator || found.generator_problem]].filter(([, id]) => id);
    const { building, report } = found;
    this.view.replaceChildren(el("h3", {}, S.models),
      el("dl", { class: "facts" }, rows.flatMap(([name, id]) => [el("dt", {}, name), el("dd", {}, id)])),
      building ? el("div", { class: "building" }, el("p", {}, S.changing(building.embedder)),
        el("progress", { max: building.expected || 1, value: building.done, "aria-label": S.changing(building.embedder) }), el("span", { class: "quiet" }, S.ofPictures(building.done, building.expected))) : "",
      report ? el("p", { class: "report" }, S.changed(report), " ", S.kept(report.comparison)) : "",
      found.replaced ? el("p", { class: "quiet" }, S.replaced(found.replaced)) : "");
  }
}
