/** Bits of one page. */
export const PAGE_SHIFT = 15;
export const PAGE_BITS = 1 << PAGE_SHIFT;

const WORDS = PAGE_BITS / 32;
const GROUPS = WORDS / 32;
const GROUP_BASE = WORDS;
const TOP = WORDS + GROUPS;
const FULL = 0xffff_ffff;

/** Index of the lowest set bit; `word` is not 0. */
const lowest = (word: number) => 31 - Math.clz32(word & -word);

/** The bits above `bit`; none above 31, as the shift drops them. */
const above = (bit: number) => -2 << bit;

/**
 * 32 768 bits in three levels of 32-way words: a bit of a level is set when the word below it is full. Finding the next
 * clear bit looks at five words at most.
 */
export class BitmapPage {
  readonly #words = new Uint32Array(TOP + 1);
  #count = 0;

  get empty(): boolean {
    return this.#count === 0;
  }

  get full(): boolean {
    return this.#count === PAGE_BITS;
  }

  has(bit: number): boolean {
    return (((this.#words[bit >>> 5] as number) >>> (bit & 31)) & 1) === 1;
  }

  /** False: it was set. */
  set(bit: number): boolean {
    const words = this.#words;
    const word = bit >>> 5;
    const before = words[word] as number;
    const after = (before | (1 << (bit & 31))) >>> 0;
    if (after === before) return false;
    words[word] = after;
    this.#count++;
    if (after === FULL) {
      const group = GROUP_BASE + (word >>> 5);
      const groupAfter = ((words[group] as number) | (1 << (word & 31))) >>> 0;
      words[group] = groupAfter;
      if (groupAfter === FULL) words[TOP] = (words[TOP] as number) | (1 << (word >>> 5));
    }
    return true;
  }

  /** False: it was clear. */
  clear(bit: number): boolean {
    const words = this.#words;
    const word = bit >>> 5;
    const before = words[word] as number;
    const after = (before & ~(1 << (bit & 31))) >>> 0;
    if (after === before) return false;
    words[word] = after;
    this.#count--;
    if (before === FULL) {
      const group = GROUP_BASE + (word >>> 5);
      words[group] = (words[group] as number) & ~(1 << (word & 31));
      words[TOP] = (words[TOP] as number) & ~(1 << (word >>> 5));
    }
    return true;
  }

  /** The first clear bit at or after `from`; -1: none. */
  nextClear(from: number): number {
    const words = this.#words;
    const word = from >>> 5;
    const here = ~(words[word] as number) & (-1 << (from & 31));
    if (here !== 0) return (word << 5) | lowest(here);
    const group = word >>> 5;
    const near = ~(words[GROUP_BASE + group] as number) & above(word & 31);
    if (near !== 0) return this.#firstOf((group << 5) | lowest(near));
    const far = ~(words[TOP] as number) & above(group);
    if (far === 0) return -1;
    const next = lowest(far);
    return this.#firstOf((next << 5) | lowest(~(words[GROUP_BASE + next] as number)));
  }

  #firstOf(word: number): number {
    return (word << 5) | lowest(~(this.#words[word] as number));
  }
}
