import type { BitPlace } from './sparse-bitmap.js';

const BLOCK_BITS = 64;
const BLOCK_SHIFT = 6;

interface Holder {
  readonly owner: string;
  count: number;
  /** Of the list of this holder's slots. */
  head: Slot | undefined;
}

interface Slot extends BitPlace {
  readonly holder: Holder;
  previous: Slot | undefined;
  next: Slot | undefined;
}

interface Page {
  count: number;
  readonly blocks: (Slot | undefined)[][];
}

/**
 * Who holds which place. Arrays and linked lists, as a Map or a Set of all places becomes slow where one key comes and goes
 * (V8 chains a removed entry until the next rehash), and that is what a full network does.
 */
export class Holdings {
  readonly #pages = new Map<number, Page>();
  readonly #holders = new Map<string, Holder>();
  #idleHolders = 0;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  ownerOf({ page, bit }: BitPlace): string | undefined {
    return this.#pages.get(page)?.blocks[bit >>> BLOCK_SHIFT]?.[bit % BLOCK_BITS]?.holder.owner;
  }

  /** The place is free. */
  add({ page, bit }: BitPlace, owner: string): void {
    const holder = this.#holder(owner);
    const slot: Slot = { page, bit, holder, previous: undefined, next: holder.head };
    if (holder.head) holder.head.previous = slot;
    holder.head = slot;
    holder.count++;
    const found = this.#page(page);
    const index = bit >>> BLOCK_SHIFT;
    found.blocks[index] ??= [];
    found.blocks[index][bit % BLOCK_BITS] = slot;
    found.count++;
    this.#size++;
  }

  /** Its owner; undefined: nobody held it. */
  remove({ page, bit }: BitPlace): string | undefined {
    const found = this.#pages.get(page);
    const block = found?.blocks[bit >>> BLOCK_SHIFT];
    const slot = block?.[bit % BLOCK_BITS];
    if (!found || !block || !slot) return undefined;
    block[bit % BLOCK_BITS] = undefined;
    found.count--;
    if (found.count === 0) this.#pages.delete(page);
    this.#size--;
    this.#unlink(slot);
    return slot.holder.owner;
  }

  /** Ascending. */
  *all(): Generator<BitPlace & { readonly owner: string }> {
    const pages = [...this.#pages].sort(([one], [other]) => one - other);
    for (const [page, { blocks }] of pages) {
      for (const slot of blocks.flat()) if (slot) yield { page, bit: slot.bit, owner: slot.holder.owner };
    }
  }

  /** Ascending. */
  heldBy(owner: string): BitPlace[] {
    const places: BitPlace[] = [];
    for (let slot = this.#holders.get(owner)?.head; slot; slot = slot.next) places.push(slot);
    return places.sort((one, other) => one.page - other.page || one.bit - other.bit);
  }

  #page(page: number): Page {
    let found = this.#pages.get(page);
    if (!found) {
      found = { count: 0, blocks: [] };
      this.#pages.set(page, found);
    }
    return found;
  }

  #holder(owner: string): Holder {
    let holder = this.#holders.get(owner);
    if (!holder) {
      holder = { owner, count: 0, head: undefined };
      this.#holders.set(owner, holder);
    } else if (holder.count === 0) this.#idleHolders--;
    return holder;
  }

  #unlink(slot: Slot): void {
    const { holder, previous, next } = slot;
    if (previous) previous.next = next;
    else holder.head = next;
    if (next) next.previous = previous;
    holder.count--;
    if (holder.count > 0) return;
    // Holders without anything stay until they outnumber the others, so that one who comes and goes costs nothing.
    this.#idleHolders++;
    if (this.#idleHolders <= 64 + this.#holders.size / 2) return;
    for (const [owner, { count }] of this.#holders) if (count === 0) this.#holders.delete(owner);
    this.#idleHolders = 0;
  }
}
