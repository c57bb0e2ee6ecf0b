// A conversation: hits first, then words as they are written, then the checked answer with citations that light up
// and open the picture at the cited place. Further questions may lean on those before.
import * as api from "./api.js";
import { button, el, nameOf } from "./dom.js";
import { S } from "./strings.js";

const MOST_TURNS = 20; // of the conversation that goes along with a question

export class Chat {
  constructor(holder, { openCitation, onHits, light, onError }) {
    Object.assign(this, { holder, openCitation, onHits, light, onError, turns: [] });
    this.list = el("div", { class: "turns" });
    this.input = el("input", { type: "text", id: "further", placeholder: S.further, "aria-label": S.further, maxlength: "2000", autocomplete: "off" });
    this.form = el("form", { class: "further", onsubmit: (event) => {
      event.preventDefault();
      const question = this.input.value.trim();
      if (!question) return;
      this.input.value = "";
      this.ask(this.collection, question);
    } }, this.input, el("button", { class: "primary" }, S.ask), button(S.newChat, () => this.clear()));
    holder.replaceChildren(this.list, this.form);
  }

  clear() {
    this.stop?.();
    this.turns = [];
    this.list.replaceChildren();
    this.holder.hidden = true;
    this.light(null);
  }

  // What was said before, as the service takes it.
  history() {
    return this.turns.slice(-MOST_TURNS).flatMap((turn) => [{ role: "user", content: turn.question }, { role: "assistant", content: turn.answer }]);
  }

  async ask(collection, question) {
    if (this.collection !== collection) this.clear();
    this.collection = collection;
    this.stop?.();
    const asking = new AbortController();
    this.stop = () => asking.abort();
    const text = el("div", { class: "answer" }, el("p", { class: "quiet thinking" }, S.thinking));
    const foot = el("div", { class: "foot" }, button(S.stop, () => asking.abort(), { class: "stop" }));
    const said = el("p", { class: "hidden", role: "status" }); // read out once, whole, not word by word
    const turn = el("article", { class: "turn" }, el("h2", {}, el("span", { class: "hidden" }, S.asked), question), text, foot, said);
    this.holder.hidden = false;
    this.list.append(turn);
    turn.scrollIntoView({ block: "nearest" });
    let written = "";
    try {
      for await (const [name, data] of api.ask(collection, question, this.history(), asking.signal)) {
        if (name === "hits") this.onHits(data);
        else if (name === "delta") {
          written += data.text;
          if (written.trim()) text.replaceChildren(el("p", { class: "writing" }, written));
        } else if (name === "error") throw new api.Problem(data.detail, data.status);
        else if (name === "answer") {
          this.answer(turn, text, foot, data);
          this.turns.push({ question, answer: data.answer });
          said.textContent = `${data.answered ? "" : `${S.unanswered}. `}${data.answer}`;
        }
      }
    } catch (error) {
      const stopped = error.name === "AbortError";
      text.replaceChildren(stopped && written.trim() ? el("p", {}, written) : "", el("p", { class: "quiet" }, stopped ? S.stopped : error.message));
      foot.replaceChildren(button(S.again, () => { turn.remove(); this.ask(collection, question); }));
      if (error.status === 401) this.onError(error);
    } finally {
      if (matchMedia("(hover: hover)").matches) this.input.focus({ preventScroll: true }); // on a phone it would call up the keyboard
    }
  }

  answer(turn, holder, foot, found) {
    const lights = (id) => ({ onmouseenter: () => this.light(id), onfocus: () => this.light(id), onmouseleave: () => this.light(null), onblur: () => this.light(null) });
    const cite = (number) => {
      const citation = found.citations.find((each) => each.marker === number);
      if (!citation) return el("span", { class: "quiet" }, `[${number}]`);
      return button(String(number), () => this.openCitation(found, citation), { class: "cite", "aria-label": S.citation(number, nameOf(citation.uri)),
        title: citation.quote ? `“${citation.quote}”` : nameOf(citation.uri), ...lights(citation.id) });
    };
    const parts = found.answer.split(/\[(\d+)\]/).map((part, i) => i % 2 ? cite(Number(part)) : part);
    turn.classList.toggle("silent", !found.answered);
    holder.replaceChildren(
      found.understood ? el("p", { class: "quiet leaned" }, S.understoodAs(found.understood)) : "",
      found.answered ? "" : el("p", { class: "unanswered" }, S.unanswered),
      el("p", {}, parts),
      found.citations.length ? el("ul", { class: "sources" }, found.citations.map((each) => el("li", {},
        el("button", { type: "button", onclick: () => this.openCitation(found, each), ...lights(each.id) },
          el("img", { alt: "", src: api.thumbnail(each.id, 128) }),
          el("span", {}, el("b", {}, `${each.marker}`), ` ${nameOf(each.uri)}` + (each.page ? `, ${S.page.toLowerCase()} ${each.page}` : ""),
            each.quote ? el("q", {}, each.quote) : ""))))) : "");
    const copy = button(S.copy, async () => {
      await navigator.clipboard.writeText(markdown(found, this.collection));
      copy.textContent = S.copied;
      setTimeout(() => { copy.textContent = S.copy; }, 2000);
    }, { class: "plain" });
    foot.replaceChildren(el("span", { class: "quiet by", title: found.generator_why || "" }, S.by(found.generator, found.usage, found.took_ms)), copy);
  }
}

// Links lead to this page, which opens the picture with the cited place marked.
export function markdown(found, collection) {
  const plain = (text) => text.replace(/([\\`*_[\]<>])/g, "\\$1");
  const links = found.citations.map((each) => {
    const params = new URLSearchParams({ c: collection, i: each.id, ...(each.box ? { b: each.box.join(",") } : {}) });
    return `[${each.marker}]: ${location.origin}/?${params} "${(each.quote || nameOf(each.uri)).replaceAll('"', "'").replaceAll("\n", " ")}"`;
  });
  const answer = found.answer.split(/(\[\d+\])/).map((part, i) => i % 2 ? `[${part}]${part}` : plain(part)).join("");
  return `**${plain(found.question)}**\n\n${found.answered ? "" : `*${S.unanswered}.* `}${answer}\n\n${links.join("\n")}${links.length ? "\n" : ""}`;
}
