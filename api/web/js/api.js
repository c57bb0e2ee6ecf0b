// The service's own HTTP API: the page has no other door.
import { S } from "./strings.js";

export class Problem extends Error {
  constructor(message, status) { super(message); this.status = status; }
}

export async function call(path, { method = "GET", body, signal } = {}) {
  let reply;
  try {
    reply = await fetch(path, {
      method, signal,
      headers: { ...(body ? { "Content-Type": "application/json" } : {}), "X-Askpix-Page": "1", Accept: "application/json" },
      body: body && JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(S.offline, 0);
  }
  const text = await reply.text();
  let found = {};
  try { found = text ? JSON.parse(text) : {}; } catch { /* not JSON: the status says enough */ }
  if (!reply.ok) throw new Problem(found.detail || `${reply.status}`, reply.status);
  return found;
}

// Server-sent events of a POST: [name, data] as they come.
export async function* events(path, body, signal) {
  const reply = await fetch(path, {
    method: "POST", signal, body: JSON.stringify(body),
    headers: { "Content-Type": "application/json", "X-Askpix-Page": "1" },
  });
  if (!reply.ok) {
    const found = await reply.json().catch(() => ({}));
    throw new Problem(found.detail || `${reply.status}`, reply.status);
  }
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += value;
    const blocks = rest.split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const name = /^event: (.*)$/m.exec(block)?.[1];
      const data = /^data: (.*)$/m.exec(block)?.[1];
      if (name && data) yield [name, JSON.parse(data)];
    }
  }
}

const at = (name) => `/v1/collections/${encodeURIComponent(name)}`;
export const collections = () => call("/v1/collections?limit=1000");
export const createCollection = (name) => call("/v1/collections", { method: "POST", body: { name } });
export const search = (name, body, signal) => call(`${at(name)}/search`, { method: "POST", body, signal });
// Noted for `collections adapt`; a key that may only read notes nothing, and nothing is lost by it.
export const good = (name, text, id) => call(`${at(name)}/good`, { method: "POST", body: { text, images: [id] } }).catch(() => {});
export const facets = (name, signal) => call(`${at(name)}/facets`, { signal });
export const timeline = (name, signal) => call(`${at(name)}/timeline`, { signal });
export const newest = (name, offset, limit, signal) => call(`${at(name)}/images?order=newest&offset=${offset}&limit=${limit}`, { signal });
export const places = (name, degrees) => call(`${at(name)}/places?degrees=${degrees}`);
export const folders = (name) => call(`${at(name)}/folders`);
export const models = (name) => call(`${at(name)}/models`);
export const upgrade = (name) => call(`${at(name)}/upgrade`);
export const beginUpgrade = (name, model) => call(`${at(name)}/upgrade`, { method: "POST", body: { model } });
export const declineUpgrade = (name, model) => call(`${at(name)}/upgrade?model=${encodeURIComponent(model)}`, { method: "DELETE" });
export const ask = (name, question, history, signal) => events(`${at(name)}/ask`, { question, stream: true, ...(history.length ? { history } : {}) }, signal);
export const image = (id, signal) => call(`/v1/images/${id}`, { signal });
export const siblings = (id, signal) => call(`/v1/images/${id}/siblings`, { signal });
export const jobs = () => call("/v1/jobs?limit=20");
export const cancelJob = (id) => call(`/v1/jobs/${id}/cancel`, { method: "POST" });
export const keys = () => call("/v1/keys");
export const createKey = (body) => call("/v1/keys", { method: "POST", body });
export const revokeKey = (id) => call(`/v1/keys/${id}`, { method: "DELETE" });
export const session = () => call("/session");
export const login = (key) => call("/session", { method: "POST", body: { key } });
export const logout = () => call("/session", { method: "DELETE" });
export const thumbnail = (id, size) => `/v1/images/${id}/thumbnail?size=${size}`;
export const file = (id) => `/v1/images/${id}/file`;
export const motion = (id) => `/v1/images/${id}/motion`;

// Files to a collection; onProgress gets 0..1. Resolves with the job.
export function upload(name, files, onProgress) {
  return new Promise((resolve, reject) => {
    const form = new FormData();
    for (const each of files) form.append("files", each, each.name);
    const request = new XMLHttpRequest();
    request.open("POST", `${at(name)}/images`);
    request.setRequestHeader("X-Askpix-Page", "1");
    request.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total);
    request.onerror = () => reject(new Problem(S.offline, 0));
    request.onload = () => {
      let found = {};
      try { found = JSON.parse(request.responseText); } catch { /* the status says enough */ }
      if (request.status >= 400) reject(new Problem(found.detail || `${request.status}`, request.status));
      else resolve(found);
    };
    request.send(form);
  });
}

// Follows a job to its end.
export function follow(id, onChange) {
  const source = new EventSource(`/v1/jobs/${id}/events`);
  for (const name of ["progress", "done", "failed", "cancelled"]) {
    source.addEventListener(name, (event) => {
      if (name !== "progress") source.close();
      onChange(JSON.parse(event.data));
    });
  }
  return () => source.close();
}
