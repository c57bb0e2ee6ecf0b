// Chips: what the words were understood as, and what was chosen beside them. Each can be edited, or switched off.
import { button, el } from "./dom.js";
import { S } from "./strings.js";

// How a clause is written when it is written by hand; "" = as the words themselves.
const WRITTEN = { date: "date", after: "after", before: "before", months: "month", weekdays: "weekday", hours: "hour", amount: "amount", rating: "rating",
  near: "near", country: "in", kind: "kind", camera: "camera", path: "path", tag: "tag", not: "not" };
const SIGNED = new Set(["not", "without"]); // their names say so themselves
const YEAR = /^\d{4}$/;
const quoted = (value) => /\s/.test(value) ? `"${value.replaceAll('"', "")}"` : value;

export class Understood {
  constructor(holder, act) { Object.assign(this, { holder, act }); }

  show(found, state) {
    const { after, before, ...others } = state.where;
    const years = YEAR.test(after) && YEAR.test(before);
    const chips = [
      ...(years ? [this.chip("years", span(after, before), { off: () => this.act.where({ after: undefined, before: undefined }), start: span(after, before), edit: (text) => this.act.where(unspan(text)) })] : []),
      ...Object.entries(years ? others : state.where).map(([field, value]) => this.chip(field, shown(field, value), {
        off: () => this.act.where({ [field]: undefined }),
        start: written(field, value), edit: (text) => this.act.where({ [field]: read(field, text, value) }),
      })),
      ...(found?.clauses || []).map((each) => this.chip(each.field, each.value.replace(/ \(.*\)$/, ""), {
        off: () => this.act.off(each.words), title: S.because(each.words),
        negative: each.negative && !SIGNED.has(each.field), start: start(each), edit: (text) => this.act.rewrite(each.words, rewritten(each, text.trim())),
      })),
      ...state.off.map((words) => el("span", { class: "chip out" }, button([el("s", {}, words), " ", el("span", { "aria-hidden": "true" }, "↺")],
        () => this.act.on(words), { "aria-label": S.onAgain(words), title: S.onAgain(words) }))),
    ];
    const notes = (found?.notes || []).map((note) => el("span", { class: "note quiet" }, note));
    this.holder.replaceChildren(...chips, ...notes);
    this.holder.hidden = !chips.length && !notes.length;
  }

  chip(field, value, { off, edit, start: begin, title, negative }) {
    const name = (negative ? `${S.denied} ` : "") + (S.field[field] || field);
    const made = el("span", { class: "chip on" });
    const rest = () => {
      made.replaceChildren(
        button([el("b", {}, `${name} `), value], () => write(), { class: "what", title, "aria-label": S.edit(`${name} ${value}`) }),
        button("×", off, { class: "x", "aria-label": S.off(`${name} ${value}`) }));
    };
    const write = () => {
      let open = true; // Enter takes the input away, and that takes its focus: once is enough
      const end = (act) => { if (open) { open = false; act(); } };
      const take = () => { const text = input.value.trim(); text === begin ? rest() : text ? edit(text) : off(); };
      const input = el("input", { type: "text", value: begin, "aria-label": name, size: Math.max(6, begin.length + 1), maxlength: "300",
        onkeydown: (event) => {
          event.stopPropagation();
          if (event.key === "Enter") { event.preventDefault(); end(take); }
          if (event.key === "Escape") end(() => { rest(); made.querySelector("button").focus(); });
        },
        onblur: () => end(take) });
      made.replaceChildren(el("b", {}, name), input);
      input.focus();
      input.select();
    };
    rest();
    return made;
  }
}

// Two years as the filter has them, the second exclusive, as people write them; and back.
const span = (after, before) => Number(before) - 1 > Number(after) ? `${after}–${Number(before) - 1}` : after;

function unspan(text) {
  const [from, until = from] = text.match(/\d{4}/g) || [];
  return from ? { after: String(Math.min(from, until)), before: String(Math.max(from, until) + 1) } : {};
}

function start(clause) {
  if (clause.field === "near" && clause.negative) return clause.value.replace(/ \(.*\)$/, "");
  if (clause.field === "near") return clause.words.replace(/^(near:|near |trip to |in |around )/i, "").replaceAll('"', "");
  if (clause.field === "weight") return clause.words;
  return clause.value;
}

function rewritten(clause, text) {
  if (clause.field === "phrase") return `"${text.replaceAll('"', "")}"`;
  if (clause.field === "without") return `-${quoted(text)}`;
  const minus = clause.negative && !SIGNED.has(clause.field) ? "-" : "";
  return clause.field in WRITTEN ? `${minus}${WRITTEN[clause.field]}:${quoted(text)}` : text;
}

function shown(field, value) {
  if (field === "near") return `${value.lat.toFixed(1)}, ${value.lon.toFixed(1)} · ${value.km} km`;
  if (field === "kind") return S.kind[value] || value;
  return Array.isArray(value) ? value.join(", ") : String(value);
}

const written = (field, value) => field === "near" ? `${value.lat}, ${value.lon}, ${value.km}` : Array.isArray(value) ? value.join(", ") : String(value);

function read(field, text, before) {
  if (field === "near") {
    const [lat, lon, km] = text.split(/[,;\s]+/).filter(Boolean).map(Number);
    return [lat, lon].every(Number.isFinite) ? { lat, lon, km: Number.isFinite(km) && km > 0 ? km : before.km } : before;
  }
  return Array.isArray(before) ? text.split(",").map((each) => each.trim()).filter(Boolean) : text.trim();
}
