// Questions and answers: hits first, then words as they are written, then the checked answer with citations
// that open the picture at the cited place.
import * as api from "./api.js";
import { el, nameOf } from "./dom.js";
import { S } from "./strings.js";

export class Chat {
  constructor(holder, openCitation) {
    this.holder = holder;
    this.openCitation = openCitation;
  }

  async ask(collection, question, onHits) {
    this.stop?.();
    const asking = new AbortController();
    const text = el("div", { class: "answer", "aria-live": "polite" }, el("p", { class: "quiet" }, S.thinking));
    const stop = el("button", { type: "button", onclick: () => asking.abort() }, S.stop);
    const foot = el("div", { class: "foot" }, stop);
    const turn = el("article", { class: "turn" }, el("h2", {}, el("span", { class: "hidden" }, S.asked), question), text, foot);
    this.holder.hidden = false;
    this.holder.prepend(turn);
    this.stop = () => asking.abort();
    let written = "";
    try {
      for await (const [name, data] of api.ask(collection, question, asking.signal)) {
        if (name === "hits") onHits(data);
        else if (name === "delta") {
          written += data.text;
          if (written.trim()) text.replaceChildren(el("p", {}, written));
        } else if (name === "error") throw new api.Problem(data.detail, data.status);
        else if (name === "answer") this.answer(text, foot, data);
      }
    } catch (error) {
      text.replaceChildren(el("p", { class: "quiet" }, error.name === "AbortError" ? S.stopped : error.message));
      foot.replaceChildren();
      if (error.status === 401) throw error;
    }
  }

  answer(holder, foot, found) {
    const cite = (number) => {
      const citation = found.citations.find((each) => each.marker === number);
      if (!citation) return el("span", { class: "quiet" }, `[${number}]`);
      return el("button", {
        type: "button", class: "cite", "aria-label": S.citation(number, nameOf(citation.uri)),
        title: citation.quote ? `“${citation.quote}”` : nameOf(citation.uri),
        onclick: () => this.openCitation(found, citation),
      }, String(number));
    };
    const parts = found.answer.split(/\[(\d+)\]/).map((part, i) => i % 2 ? cite(Number(part)) : part);
    holder.replaceChildren(
      found.answered ? "" : el("p", { class: "unanswered" }, S.unanswered),
      el("p", {}, parts),
      el("ul", { class: "sources" }, found.citations.map((each) => el("li", {},
        el("button", { type: "button", onclick: () => this.openCitation(found, each) },
          el("img", { alt: "", src: api.thumbnail(each.id, 128) }),
          el("span", {}, nameOf(each.uri) + (each.page ? `, ${S.page.toLowerCase()} ${each.page}` : ""),
            each.quote ? el("q", {}, each.quote) : ""))))));
    const copy = el("button", { type: "button", onclick: async () => {
      await navigator.clipboard.writeText(markdown(found));
      copy.textContent = S.copied;
    } }, S.copy);
    foot.replaceChildren(el("span", { class: "quiet", title: found.generator_why || "" }, S.by(found.generator, found.usage)), copy);
  }
}

export function markdown(found) {
  const links = found.citations.map((each) =>
    `[${each.marker}]: ${location.origin}/v1/images/${each.id}/file` + (each.quote ? ` "${each.quote.replaceAll('"', "'")}"` : ""));
  return `**${found.question}**\n\n${found.answer.replace(/\[(\d+)\]/g, "[[$1]][$1]")}\n\n${links.join("\n")}\n`;
}
