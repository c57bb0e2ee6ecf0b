// Where every picture of a justified wall stands: rows of nearly equal height over the full width. Pure arithmetic,
// so that a hundred thousand pictures are laid out in some milliseconds and nothing moves when they arrive.
export const GAP = 6;
export const HEAD = 46;
const WIDEST = 3, NARROWEST = 0.45;

export class Layout {
  // ratio(i): width over height; heads: Map from the first picture of a section to its title.
  constructor(width, ratio, heads = new Map()) {
    this.width = width;
    this.ratio = (i) => Math.min(WIDEST, Math.max(NARROWEST, ratio(i)));
    this.heads = heads;
    this.target = width < 500 ? 132 : width < 1000 ? 190 : 236;
    this.tops = []; this.firsts = []; this.heights = []; this.full = [];
    this.count = 0;
    this.height = 0;
  }

  // Goes on with pictures from where it stopped; the last row, if it was short, is laid again.
  extend(count) {
    let start = this.count;
    if (this.firsts.length && !this.full.at(-1)) {
      start = this.firsts.pop();
      this.height = this.tops.pop(); this.heights.pop(); this.full.pop();
    }
    let first = start, sum = 0;
    const close = (end, height, full) => {
      if (this.heads.has(first)) this.height += HEAD;
      this.tops.push(this.height); this.firsts.push(first); this.heights.push(height); this.full.push(full);
      this.height += height + GAP;
      first = end; sum = 0;
    };
    // A head was counted with its row: when that row is laid again, it is taken off.
    if (start < this.count && this.heads.has(start)) this.height -= HEAD;
    for (let i = start; i < count; i++) {
      if (i > first && this.heads.has(i)) close(i, this.target, true);
      sum += this.ratio(i);
      const height = (this.width - GAP * (i - first)) / sum;
      if (height <= this.target) close(i + 1, Math.floor(height), true);
    }
    if (first < count) close(count, this.target, false);
    this.count = count;
  }

  // The row at a height, by halving.
  rowAt(y) {
    let low = 0, high = this.tops.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.tops[middle] <= y) low = middle; else high = middle - 1;
    }
    return Math.max(0, low);
  }

  rowOf(index) {
    let low = 0, high = this.firsts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.firsts[middle] <= index) low = middle; else high = middle - 1;
    }
    return Math.max(0, low);
  }

  endOf(row) { return row + 1 < this.firsts.length ? this.firsts[row + 1] : this.count; }

  // The boxes of a row: [index, x, y, width, height].
  boxes(row) {
    const height = this.heights[row], end = this.endOf(row), justified = height !== this.target;
    const found = [];
    let x = 0;
    for (let i = this.firsts[row]; i < end; i++) {
      // The last one takes what rounding left, so that every row is as wide as the others.
      const width = justified && i === end - 1 ? this.width - x : Math.floor(this.ratio(i) * height);
      found.push([i, x, this.tops[row], width, height]);
      x += width + GAP;
    }
    return found;
  }

  // The picture above (-1) or below (+1), nearest to its middle.
  beside(index, by) {
    const row = this.rowOf(index), other = row + by;
    if (other < 0 || other >= this.firsts.length) return index;
    const [, x, , width] = this.boxes(row).find(([i]) => i === index);
    const middle = x + width / 2;
    return this.boxes(other).sort((a, b) => Math.abs(a[1] + a[3] / 2 - middle) - Math.abs(b[1] + b[3] / 2 - middle))[0][0];
  }
}
