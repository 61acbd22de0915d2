import { fieldError, HyperplugError } from '../errors.js';
import { formatAddress, formatIpv4, parseAddressWithPrefix, parseIpv4 } from './address-text.js';
import { PAGE_BITS, PAGE_SHIFT } from './bitmap-page.js';
import { Holdings } from './holdings.js';
import { type BitPlace, offsetOf, placeOf, SparseBitmap } from './sparse-bitmap.js';
import { inside, type PoolLayout } from './subnet.js';

/** An allocation in a space: canonical text and whose it is. */
export interface Holding {
  readonly address: string;
  readonly owner: string;
}

/**
 * The allocations of one network, in memory. Every operation takes constant time, whatever is full.
 * Order is the original's: the next free address after the last given one, wrapping round, be that one asked for or not.
 */
export class AddressSpace {
  readonly #layout: PoolLayout;
  /** Of the subnet; exact for IPv4 alone. */
  readonly #base: number;
  readonly #size: number;
  readonly #first: BitPlace;
  readonly #last: BitPlace;
  /** Allocated and reserved. */
  readonly #used: SparseBitmap;
  readonly #reserved: ReadonlySet<bigint>;
  readonly #holdings = new Holdings();
  #cursor: BitPlace | undefined;

  constructor(layout: PoolLayout) {
    this.#layout = layout;
    this.#base = Number(layout.subnet.base);
    this.#size = Number(layout.subnet.size);
    this.#first = placeOf(layout.first);
    this.#last = placeOf(layout.last);
    this.#reserved = new Set(layout.reserved);
    this.#used = new SparseBitmap(placeOf(layout.subnet.size - 1n).page + 1);
    for (const offset of layout.reserved) {
      const place = placeOf(offset);
      this.#used.set(place.page, place.bit);
    }
  }

  get layout(): PoolLayout {
    return this.#layout;
  }

  get allocated(): number {
    return this.#holdings.size;
  }

  /** The last given address; undefined: none yet. */
  get lastGiven(): string | undefined {
    return this.#cursor && this.#text(this.#cursor);
  }

  /** The next free address after the last given. @throws IPAM_EXHAUSTED. */
  next(owner: string): string {
    const { page, bit } = this.#cursor ?? this.#last;
    const carry = bit + 1 === PAGE_BITS;
    const from = { page: carry ? page + 1 : page, bit: carry ? 0 : bit + 1 };
    const place = this.#freeFrom(from) ?? this.#freeFrom(this.#first);
    if (!place) {
      const { subnet, capacity } = this.#layout;
      throw new HyperplugError('IPAM_EXHAUSTED', `network ${subnet.key}: all ${capacity} addresses are allocated`, {
        details: { network: subnet.key, capacity: capacity.toString() },
      });
    }
    this.#give(place, owner);
    this.#cursor = place;
    return this.#text(place);
  }

  /** Exactly this address. @throws IPAM_ADDRESS_INVALID, _OUT_OF_RANGE, _RESERVED, _TAKEN. */
  take(address: string, owner: string): string {
    const place = this.#free(address);
    this.#give(place, owner);
    this.#cursor = place;
    return this.#text(place);
  }

  /** As take(), and it does not count as the last given. */
  hold(address: string, owner: string): void {
    this.#give(this.#free(address), owner);
  }

  /**
   * What was released; undefined: it was not allocated.
   * @throws IPAM_ADDRESS_INVALID, IPAM_ADDRESS_OUT_OF_RANGE.
   */
  release(address: string): Holding | undefined {
    const quick = this.#ipv4Place(address);
    const place = quick ?? placeOf(this.#offset(address));
    const owner = this.#holdings.remove(place);
    if (owner === undefined) return undefined;
    this.#used.clear(place.page, place.bit);
    return { address: quick ? address : this.#text(place), owner };
  }

  /** All that `owner` holds, in ascending order. */
  heldBy(owner: string): readonly Holding[] {
    return this.#holdings.heldBy(owner).map((place) => ({ address: this.#text(place), owner }));
  }

  /** All allocations, in ascending order. */
  list(): readonly Holding[] {
    return Array.from(this.#holdings.all(), (place) => ({ address: this.#text(place), owner: place.owner }));
  }

  /** Puts back what was stored. The order of later allocations follows from `lastGiven` alone. */
  restore(holdings: Iterable<Holding>, lastGiven: string | undefined): void {
    for (const { address, owner } of holdings) this.hold(address, owner);
    const offset = lastGiven === undefined ? undefined : this.#offset(lastGiven);
    const { first, last } = this.#layout;
    this.#cursor = offset === undefined || offset < first || offset > last ? undefined : placeOf(offset);
  }

  #give(place: BitPlace, owner: string): void {
    this.#used.set(place.page, place.bit);
    this.#holdings.add(place, owner);
  }

  /** @throws what take() throws. */
  #free(address: string): BitPlace {
    const offset = this.#offset(address);
    const { subnet, first, last, restrictTo } = this.#layout;
    if (this.#reserved.has(offset)) {
      const what = 'an address that is not the network, broadcast or a reserved one';
      throw fieldError('IPAM_ADDRESS_RESERVED', 'address', `${what} of ${subnet.key}`, address);
    }
    if (offset < first || offset > last) {
      throw fieldError('IPAM_ADDRESS_OUT_OF_RANGE', 'address', `an address of ${restrictTo ?? subnet.key}`, address);
    }
    const place = placeOf(offset);
    const holder = this.#holdings.ownerOf(place);
    if (holder === undefined) return place;
    throw new HyperplugError(
      'IPAM_ADDRESS_TAKEN',
      `address: ${this.#text(place)} of ${subnet.key} is allocated already, to ${holder}`,
      { details: { field: 'address', received: address, network: subnet.key, owner: holder } },
    );
  }

  #freeFrom({ page, bit }: BitPlace): BitPlace | undefined {
    const place = this.#used.nextClear(page, bit);
    if (!place || place.page > this.#last.page) return undefined;
    return place.page === this.#last.page && place.bit > this.#last.bit ? undefined : place;
  }

  #text(place: BitPlace): string {
    const { family, base } = this.#layout.subnet;
    if (family === 4) return formatIpv4(this.#base + place.page * PAGE_BITS + place.bit);
    return formatAddress(family, base + offsetOf(place));
  }

  /** Of an IPv4 address of this network, whose text is canonical then; undefined: whatever else it is. */
  #ipv4Place(text: string): BitPlace | undefined {
    if (this.#layout.subnet.family !== 4 || typeof text !== 'string') return undefined;
    const offset = (parseIpv4(text) ?? Number.NaN) - this.#base;
    if (!(offset >= 0 && offset < this.#size)) return undefined;
    return { page: offset >>> PAGE_SHIFT, bit: offset & (PAGE_BITS - 1) };
  }

  #offset(text: string): bigint {
    const { subnet } = this.#layout;
    const { family, value, prefixLength } = parseAddressWithPrefix(text, 'address');
    if (family !== subnet.family) {
      throw fieldError('IPAM_ADDRESS_INVALID', 'address', `an IPv${subnet.family} address (of ${subnet.key})`, text);
    }
    if (prefixLength !== undefined && prefixLength !== subnet.prefixLength) {
      const expected = `the prefix length /${subnet.prefixLength} of ${subnet.key}, or none`;
      throw fieldError('IPAM_ADDRESS_INVALID', 'address', expected, text);
    }
    if (!inside(subnet, value)) {
      throw fieldError('IPAM_ADDRESS_OUT_OF_RANGE', 'address', `an address of ${subnet.key}`, text);
    }
    return value - subnet.base;
  }
}
