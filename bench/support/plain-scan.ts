/** The original's way to allocate: one address after the other, by its text, until one is not in the set. */
export class PlainScan {
  readonly #taken = new Set<string>();
  #last = 0;
  constructor(
    private readonly base: number,
    private readonly size: number,
  ) {}

  next(): string {
    for (let tried = 0; tried < this.size - 2; tried++) {
      this.#last = this.#last >= this.size - 2 ? 1 : this.#last + 1;
      const value = this.base + this.#last;
      const text = `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}`;
      if (this.#taken.has(text)) continue;
      this.#taken.add(text);
      return text;
    }
    throw new Error('exhausted');
  }

  release(text: string): void {
    this.#taken.delete(text);
  }
}
