// Keys, for those who may make them.
import * as api from "./api.js";
import { button, el } from "./dom.js";
import { S } from "./strings.js";

// A key that was rotated still opens until then.
const gone = (key) => key.revoked_at && new Date(key.revoked_at) <= new Date();

export class Keys {
  constructor() {
    this.list = el("ul", { class: "list" });
    this.fresh = el("div", { role: "status" });
    this.view = el("section", { hidden: true }, el("h3", {}, S.keys), this.list, this.fresh, this.form());
  }

  form() {
    const name = el("input", { id: "key-name", required: true, maxlength: "100", placeholder: S.keyName, "aria-label": S.keyName });
    const scope = el("select", { "aria-label": S.scope }, Object.entries(S.scopes).map(([value, text]) => el("option", { value }, text)));
    this.only = el("select", { "aria-label": S.keyFor });
    return el("form", { class: "row", onsubmit: async (event) => {
      event.preventDefault();
      const first = !this.any;
      try {
        const made = await api.createKey({ name: name.value, scope: first ? "admin" : scope.value, collections: first || !this.only.value ? [] : [this.only.value] });
        if (first) await api.login(made.key); // the door is closed from now on: whoever closed it stays inside
        name.value = "";
        this.fresh.replaceChildren(el("p", {}, S.keyOnce), el("code", { class: "secret", tabindex: "0" }, made.key),
          button(S.copy, () => navigator.clipboard.writeText(made.key), { class: "plain" }));
        await this.refresh(this.names);
      } catch (error) { this.fresh.replaceChildren(el("p", {}, error.message)); }
    } }, name, scope, this.only, el("button", {}, S.makeKey));
  }

  // Hidden from whoever may not see them.
  async refresh(names) {
    this.names = names;
    let found;
    try { found = (await api.keys()).keys; } catch { this.view.hidden = true; return; }
    this.view.hidden = false;
    this.any = found.some((key) => !gone(key));
    const chosen = this.only.value;
    this.only.replaceChildren(el("option", { value: "" }, S.allCollections), ...names.map((name) => el("option", { value: name }, name)));
    this.only.value = names.includes(chosen) ? chosen : "";
    this.list.replaceChildren(...(found.length ? found : []).map((key) => el("li", { class: gone(key) ? "gone" : "" },
      el("span", { class: "grow" }, el("b", {}, key.name), el("span", { class: "quiet" }, ` · ${S.scopes[key.scope]} · ${key.collections?.join(", ") || S.allCollections} · `
        + (gone(key) ? S.revoked : key.used_at ? S.usedAt(key.used_at) : S.neverUsed))),
      gone(key) ? "" : button(S.revoke, async () => { await api.revokeKey(key.id); this.refresh(this.names); }, { "aria-label": `${S.revoke}: ${key.name}` }))));
    if (!this.any) this.list.prepend(el("li", { class: "quiet" }, S.noKeys));
  }
}
