// Elements without markup: text is text, whatever stands in a file name or a picture.
export function el(tag, props = {}, ...children) {
  return fill(document.createElement(tag), props, children);
}

// The same for drawings.
export function svg(tag, props = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(props)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

function fill(made, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "class") made.className = value;
    else if (name === "style") Object.assign(made.style, value);
    else if (name in made && typeof value !== "string") made[name] = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== undefined && child !== null && child !== false));
  return made;
}

export const button = (text, onclick, props = {}) => el("button", { type: "button", onclick, ...props }, text);
export const byId = (id) => document.getElementById(id);
export const nameOf = (uri) => (uri || "").replace(/^upload:/, "").replace(/#page=\d+$/, "").split(/[\\/]/).pop() || uri;

export function debounce(work, ms) {
  let timer;
  const later = (...given) => { clearTimeout(timer); timer = setTimeout(() => work(...given), ms); };
  later.cancel = () => clearTimeout(timer);
  return later;
}

export function clock(seconds) {
  const whole = Math.floor(seconds);
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return (parts[0] ? parts : parts.slice(1)).map((n, i) => i ? String(n).padStart(2, "0") : n).join(":");
}
