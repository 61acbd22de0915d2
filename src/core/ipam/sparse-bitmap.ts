import { BitmapPage, PAGE_BITS, PAGE_SHIFT } from './bitmap-page.js';

/** A bit's place: its page, and its number in the page. Pages of a 64-bit space fit a number; its bits do not. */
export interface BitPlace {
  readonly page: number;
  readonly bit: number;
}

export function placeOf(offset: bigint): BitPlace {
  return { page: Number(offset >> BigInt(PAGE_SHIFT)), bit: Number(offset & BigInt(PAGE_BITS - 1)) };
}

export function offsetOf(place: BitPlace): bigint {
  return (BigInt(place.page) << BigInt(PAGE_SHIFT)) | BigInt(place.bit);
}

/**
 * A bitmap of up to 2^64 bits. Pages exist only where bits are set. Level 1 holds one bit for each full page, level 2 one
 * for each full page of level 1, and so on, so that a run of full pages of any length is crossed in a constant number of
 * steps: at most one page per level, and five levels at 2^64.
 */
export class SparseBitmap {
  readonly #pages = new Map<number, BitmapPage>();
  readonly #pageCount: number;
  #fullPages: SparseBitmap | undefined;

  /** @param pageCount how many pages the space has. */
  constructor(pageCount: number) {
    this.#pageCount = pageCount;
  }

  has(page: number, bit: number): boolean {
    return this.#pages.get(page)?.has(bit) ?? false;
  }

  /** False: it was set. */
  set(page: number, bit: number): boolean {
    let found = this.#pages.get(page);
    if (!found) {
      found = new BitmapPage();
      this.#pages.set(page, found);
    }
    if (!found.set(bit)) return false;
    if (found.full && this.#pageCount > 1) this.#upper().set(Math.floor(page / PAGE_BITS), page % PAGE_BITS);
    return true;
  }

  /** False: it was clear. */
  clear(page: number, bit: number): boolean {
    const found = this.#pages.get(page);
    if (!found) return false;
    const wasFull = found.full;
    if (!found.clear(bit)) return false;
    if (wasFull) this.#fullPages?.clear(Math.floor(page / PAGE_BITS), page % PAGE_BITS);
    if (found.empty) this.#pages.delete(page);
    return true;
  }

  /** The first clear bit at or after this one. It may lie past the end of the space in the last page: the caller checks. */
  nextClear(page: number, bit: number): BitPlace | undefined {
    if (page >= this.#pageCount) return undefined;
    const here = this.#pages.get(page);
    if (!here) return { page, bit };
    const found = here.nextClear(bit);
    if (found >= 0) return { page, bit: found };
    const next = this.#nextOpenPage(page + 1);
    return next >= this.#pageCount ? undefined : { page: next, bit: this.#pages.get(next)?.nextClear(0) ?? 0 };
  }

  #nextOpenPage(from: number): number {
    if (from >= this.#pageCount || !this.#fullPages) return from;
    const place = this.#fullPages.nextClear(Math.floor(from / PAGE_BITS), from % PAGE_BITS);
    return place ? place.page * PAGE_BITS + place.bit : this.#pageCount;
  }

  #upper(): SparseBitmap {
    this.#fullPages ??= new SparseBitmap(Math.ceil(this.#pageCount / PAGE_BITS));
    return this.#fullPages;
  }
}
