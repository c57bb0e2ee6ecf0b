// The offer of a better model for the collection, and how its download and the change are going.
import * as api from "./api.js";
import { button, el } from "./dom.js";
import { S } from "./strings.js";

export class Upgrade {
  constructor(view, { onDone, onMove }) { this.view = view; this.onDone = onDone; this.onMove = onMove; this.leave = () => {}; }

  // Whoever may not change models is told nothing of them.
  async use(collection, again = false) {
    if (this.collection === collection && !this.view.hidden && !again) return;
    this.leave();
    this.leave = () => {};
    this.collection = collection;
    this.draw();
    if (!collection) return;
    let found;
    try { found = await api.upgrade(collection); } catch { return; }
    if (this.collection !== collection) return;
    if (found.job) this.follow(found.job);
    else if (found.offer) this.offer(found.offer);
  }

  offer(offer) {
    this.draw(el("div", { class: "grow" }, el("h2", {}, S.upgrade), el("p", {}, S.upgradeWhat(offer)), el("p", { class: "quiet" }, S.upgradeFacts(offer)), el("p", { class: "quiet" }, S.upgradeHow)),
      el("div", { class: "choices" },
        button(S.upgradeBegin(offer), () => this.begin(offer.name), { class: "primary" }),
        button(S.upgradeNo, async () => { const { collection } = this; this.draw(); await api.declineUpgrade(collection, offer.name).catch((error) => this.ended(error.message)); })));
  }

  async begin(model) {
    for (const each of this.view.querySelectorAll("button")) each.disabled = true;
    try { this.follow(await api.beginUpgrade(this.collection, model)); } catch (error) { this.ended(S.upgradeFailed(error.message)); }
  }

  follow(job) {
    this.leave();
    const { collection } = this;
    const say = el("p", { role: "status" }), bar = el("progress", {}), far = el("p", { class: "quiet" });
    const stop = button(S.cancel, () => { stop.disabled = true; api.cancelJob(job.id).catch((error) => { far.textContent = error.message; stop.disabled = false; }); });
    const show = (now) => {
      const { stage, done = 0, total } = now.progress || {};
      const what = now.state === "queued" && !stage ? "queued" : S.upgrading[stage] ? stage : "working";
      if (say.textContent !== S.upgrading[what]) say.textContent = S.upgrading[what];
      bar.setAttribute("aria-label", S.upgrading[what]);
      if (total && what !== "proving" && what !== "queued") { bar.max = total; bar.value = done; } else bar.removeAttribute("value");
      far.textContent = !total || what === "proving" ? "" : what === "downloading" ? S.ofBytes(done, total) : S.ofPictures(done, total);
    };
    show(job);
    this.draw(el("div", { class: "grow" }, say, bar, far), el("div", { class: "choices" }, stop));
    this.leave = api.follow(job.id, (now) => {
      if (now.state === "queued" || now.state === "running") return show(now);
      if (now.state === "done") { this.ended(S.upgraded(now.result)); return this.onDone(collection); }
      this.ended(now.state === "failed" ? S.upgradeFailed(now.error) : S.upgradeStopped, now.state === "failed" || now.state === "cancelled");
    });
  }

  ended(text, again = false) {
    const { collection } = this;
    this.draw(el("p", { class: "grow", role: "status" }, text), el("div", { class: "choices" },
      again ? button(S.upgradeAgain, () => this.use(collection, true)) : "", button(S.close, () => this.draw(), { class: "plain" })));
  }

  draw(...parts) {
    this.view.hidden = !parts.length;
    this.view.replaceChildren(...parts);
    this.onMove();
  }
}
