// What is painted until a picture has come: its 25 bytes (ThumbHash) as a small blurred picture.
import { thumbHashToDataURL } from "../vendor/thumbhash.js";

const MOST = 5000;
const made = new Map();

export function blur(hash) {
  if (!hash || !/^([0-9a-f]{2}){5,}$/.test(hash)) return "";
  let url = made.get(hash);
  if (url === undefined) {
    if (made.size > MOST) made.clear();
    url = `url("${thumbHashToDataURL(Uint8Array.from(hash.match(/../g), (pair) => parseInt(pair, 16)))}")`;
    made.set(hash, url);
  }
  return url;
}
