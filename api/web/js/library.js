// Collections, uploads, folders, models, keys, and the work that is going on: live while it is open.
import * as api from "./api.js";
import { button, el } from "./dom.js";
import { Keys } from "./keys.js";
import { Models } from "./models.js";
import { S } from "./strings.js";

const EVERY_MS = 2000;

export class Library {
  constructor(dialog, { onChange, current, choose }) {
    Object.assign(this, { dialog, onChange, current, choose, following: new Map(), shown: new Map() });
    dialog.addEventListener("close", () => {
      clearTimeout(this.timer);
      for (const stop of this.following.values()) stop();
      this.following.clear();
      if (this.changed) { this.changed = false; this.onChange(); }
    });
  }

  build() {
    this.list = el("ul", { class: "list" });
    this.work = el("ul", { class: "list", "aria-live": "polite" });
    this.folders = el("ul", { class: "list" });
    this.note = el("p", { role: "status" });
    this.into = el("p", { class: "quiet" });
    this.models = new Models();
    this.keys = new Keys();
    const input = el("input", { type: "file", multiple: true, class: "hidden", id: "upload-files", accept: "image/*,application/pdf,.heic,.heif", onchange: (e) => { this.send(e.target.files); e.target.value = ""; } });
    const drop = el("label", { class: "dropzone", for: "upload-files" }, S.upload);
    for (const name of ["dragover", "dragenter"]) drop.addEventListener(name, (e) => { e.preventDefault(); e.stopPropagation(); drop.classList.add("over"); });
    drop.addEventListener("dragleave", () => drop.classList.remove("over"));
    drop.addEventListener("drop", (e) => { e.preventDefault(); e.stopPropagation(); drop.classList.remove("over"); this.send(e.dataTransfer.files); });
    const name = el("input", { id: "new-name", pattern: "[A-Za-z0-9][A-Za-z0-9._\\-]{0,62}", maxlength: "63", placeholder: S.newCollection, "aria-label": S.newCollection, required: true });
    const form = el("form", { class: "row", onsubmit: async (e) => {
      e.preventDefault();
      try { await api.createCollection(name.value); await this.choose(name.value); name.value = ""; this.refresh(); } catch (error) { this.note.textContent = error.message; }
    } }, name, el("button", {}, S.create));
    const leave = button(S.leave, async () => { await api.logout(); location.reload(); });
    this.leave = leave;
    this.dialog.replaceChildren(
      el("div", { class: "tools" }, el("h2", {}, S.library), leave, button(S.close, () => this.dialog.close(), { class: "primary" })),
      el("div", { class: "shelf" },
        el("section", {}, input, drop, this.into, this.note, this.work),
        el("section", {}, el("h3", {}, S.collections), this.list, form),
        el("section", {}, el("h3", {}, S.folders), this.folders), this.models.view, this.keys.view));
  }

  async open() {
    if (!this.list) this.build();
    this.shown.clear();
    if (!this.dialog.open) this.dialog.showModal();
    await this.refresh();
    this.tick();
  }

  tick() {
    clearTimeout(this.timer);
    this.timer = setTimeout(async () => { if (!this.dialog.open) return; if (!document.hidden) await this.refresh(); this.tick(); }, EVERY_MS);
  }

  // Draws only what has changed, so that neither focus nor scroll is lost.
  draw(holder, key, data, rows) {
    const now = JSON.stringify([key, data]);
    if (this.shown.get(holder) === now) return false;
    this.shown.set(holder, now);
    holder.replaceChildren(...rows());
    return true;
  }

  async refresh() {
    try {
      const [{ collections }, { jobs }] = await Promise.all([api.collections(), api.jobs()]);
      const current = this.current();
      this.into.textContent = S.into(current || "default");
      this.leave.hidden = !this.keys.any;
      const changed = this.draw(this.list, current, collections, () => collections.map((each) => this.collection(each, current)));
      for (const job of jobs) if (job.state === "queued" || job.state === "running") this.follow(job);
      this.draw(this.work, "", jobs.map((job) => [job.id, job.state]), () => jobs.length ? jobs.slice(0, 8).map((job) => this.job(job)) : [el("li", { class: "quiet" }, S.noJobs)]);
      if (changed && current) {
        const { folders, indexing } = await api.folders(current);
        this.draw(this.folders, indexing, folders, () => [
          ...(indexing ? [el("li", { class: "live" }, S.indexing)] : []),
          ...folders.map((each) => el("li", {}, el("span", { class: "grow" }, el("b", { class: "path" }, each.path === "upload:" ? S.uploads : each.path || "/"), el("span", { class: "quiet" }, ` · ${S.folder(each)}`)),
            each.pending ? el("progress", { max: each.images, value: each.images - each.pending, "aria-label": S.pending(each.pending) }) : "")),
          el("li", { class: "quiet" }, S.indexHint)]);
        this.keys.refresh(collections.map((each) => each.name));
      }
      await this.models.refresh(current);
    } catch (error) { this.note.textContent = error.message; }
  }

  collection(each, current) {
    const read = each.images - each.text.pending;
    return el("li", {}, el("button", { type: "button", class: "wide", "aria-current": each.name === current ? "true" : undefined, onclick: () => { this.choose(each.name); this.dialog.close(); } },
      el("b", {}, each.name), el("span", { class: "quiet" }, `${S.pictures(each.images)} · ${each.embedder}` + (each.text.pending ? ` · ${S.pending(each.text.pending)}` : ""))),
    each.text.pending ? el("progress", { max: each.images, value: read, "aria-label": S.pending(each.text.pending) }) : "");
  }

  follow(job) {
    if (this.following.has(job.id)) return;
    this.following.set(job.id, api.follow(job.id, (now) => {
      const item = this.work.querySelector(`[data-job="${now.id}"]`);
      item?.replaceWith(this.job(now));
      if (now.state === "queued" || now.state === "running") return;
      this.following.delete(now.id);
      this.changed = true;
    }));
  }

  job(now) {
    const open = now.state === "queued" || now.state === "running";
    const { stage, done = 0, total = 0 } = now.progress || {};
    const state = now.kind === "upgrade" && now.state === "running" ? S.changingModel : S.job[now.state];
    return el("li", { "data-job": now.id },
      el("span", { class: "grow" }, el("b", {}, now.collection), ` · ${state}`, open ? "" : el("span", { class: "quiet" }, ` · ${now.error || (now.result ? S.added(now.result) : "")}`)),
      open ? el("progress", { ...(total ? { max: total, value: done } : {}), "aria-label": state }) : "",
      open && total ? el("span", { class: "quiet" }, (stage === "downloading" ? S.ofBytes : S.ofPictures)(done, total)) : "",
      open ? button(S.cancel, () => api.cancelJob(now.id)) : "",
      now.result?.failed?.length ? el("ul", { class: "failures" }, now.result.failed.map((each) => el("li", {}, el("b", {}, each.path.replace(/^upload:/, "").split("/").pop()), `: ${each.error}`))) : "");
  }

  async send(files) {
    if (!files.length) return;
    let name = this.current();
    try {
      if (!name) { name = "default"; await api.createCollection(name); await this.choose(name); }
      const accepted = await api.upload(name, files, (part) => { this.note.textContent = S.uploading(Math.round(100 * part)); });
      const there = accepted.files?.filter((each) => each.duplicate).map((each) => each.name) || [];
      this.note.textContent = there.length ? `${there.join(", ")}: ${S.added({ added: 0, duplicates: there.length })}` : "";
      await this.refresh();
    } catch (error) { this.note.textContent = error.message; }
  }
}
