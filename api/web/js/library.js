// Collections, uploads and the work that is going on.
import * as api from "./api.js";
import { el } from "./dom.js";
import { S } from "./strings.js";

export class Library {
  constructor(dialog, { onChange, current, choose }) {
    Object.assign(this, { dialog, onChange, current, choose });
    this.following = new Map();
    dialog.addEventListener("close", () => { for (const stop of this.following.values()) stop(); this.following.clear(); });
  }

  async open() {
    this.list = el("ul", { class: "list" });
    this.work = el("ul", { class: "list", "aria-live": "polite" });
    this.note = el("p", { role: "status" });
    const input = el("input", { type: "file", multiple: true, class: "hidden", id: "upload-files", accept: "image/*,application/pdf", onchange: (e) => { this.send(e.target.files); e.target.value = ""; } });
    const drop = el("label", { class: "dropzone", for: "upload-files" }, S.upload);
    for (const name of ["dragover", "dragenter"]) drop.addEventListener(name, (e) => { e.preventDefault(); e.stopPropagation(); drop.classList.add("over"); });
    drop.addEventListener("dragleave", () => drop.classList.remove("over"));
    drop.addEventListener("drop", (e) => { e.preventDefault(); e.stopPropagation(); drop.classList.remove("over"); this.send(e.dataTransfer.files); });
    const name = el("input", { id: "new-name", pattern: "[A-Za-z0-9][A-Za-z0-9._\\-]{0,62}", maxlength: "63", placeholder: S.newCollection, "aria-label": S.newCollection, required: true });
    const form = el("form", { class: "row", onsubmit: async (e) => {
      e.preventDefault();
      try { await api.createCollection(name.value); await this.choose(name.value); name.value = ""; this.refresh(); } catch (error) { this.note.textContent = error.message; }
    } }, name, el("button", {}, S.create));
    this.dialog.replaceChildren(
      el("div", { class: "tools" }, el("h2", {}, S.library), el("button", { type: "button", class: "primary", onclick: () => this.dialog.close() }, S.close)),
      el("div", { class: "shelf" }, input, drop, this.note, el("h3", {}, S.collections), this.list, form, el("h3", {}, S.jobs), this.work));
    if (!this.dialog.open) this.dialog.showModal();
    await this.refresh();
  }

  async refresh() {
    try {
      const [{ collections }, { jobs }] = await Promise.all([api.collections(), api.jobs()]);
      this.list.replaceChildren(...collections.map((each) => el("li", {},
        el("button", { type: "button", "aria-current": each.name === this.current() ? "true" : undefined, onclick: () => { this.choose(each.name); this.dialog.close(); } },
          el("b", {}, each.name), el("span", { class: "quiet" }, `${S.pictures(each.images)} · ${each.embedder}` + (each.text.pending ? ` · ${S.pending(each.text.pending)}` : ""))))));
      this.work.replaceChildren(...jobs.map((job) => this.job(job)));
    } catch (error) { this.note.textContent = error.message; }
  }

  job(job) {
    const item = el("li", {});
    const draw = (now) => {
      const open = now.state === "queued" || now.state === "running";
      const done = now.progress?.total ? now.progress.done / now.progress.total : 0;
      item.replaceChildren(
        el("span", {}, `${now.collection}: ${S.job[now.state]}`),
        open ? el("progress", { max: 1, value: done, "aria-label": S.job[now.state] }) : el("span", { class: "quiet" }, now.error || (now.result ? S.added(now.result) : "")),
        open ? el("button", { type: "button", onclick: () => api.cancelJob(now.id) }, S.cancel) : "",
        now.result?.failed?.length ? el("ul", { class: "failures" }, now.result.failed.map((each) => el("li", {}, `${each.path.split("/").pop()}: ${each.error}`))) : "");
      return open;
    };
    if (draw(job)) {
      this.following.get(job.id)?.();
      this.following.set(job.id, api.follow(job.id, (now) => { if (!draw(now)) { this.following.delete(job.id); this.onChange(); this.counts(); } }));
    }
    return item;
  }

  async counts() {
    if (this.dialog.open) await this.refresh();
  }

  async send(files) {
    if (!files.length) return;
    let name = this.current();
    try {
      if (!name) { name = "default"; await api.createCollection(name); await this.choose(name); }
      const accepted = await api.upload(name, files, (part) => { this.note.textContent = S.uploading(Math.round(100 * part)); });
      this.note.textContent = "";
      const there = accepted.files?.filter((each) => each.duplicate).map((each) => each.name) || [];
      if (there.length) this.note.textContent = `${there.join(", ")}: ${S.added({ added: 0, duplicates: there.length })}`;
      await this.refresh();
    } catch (error) { this.note.textContent = error.message; }
  }
}
