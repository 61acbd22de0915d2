/** A value that is looked up again when it is too old; those who ask meanwhile wait for the same look. */
export class Cached<T> {
  #value: Promise<T> | undefined;
  #untilMs = 0;

  constructor(
    private readonly ageMs: number,
    private readonly look: () => Promise<T>,
  ) {}

  get(): Promise<T> {
    if (!this.#value || performance.now() > this.#untilMs) {
      const value = this.look();
      this.#value = value;
      this.#untilMs = Number.POSITIVE_INFINITY;
      value.then(
        () => {
          this.#untilMs = performance.now() + this.ageMs;
        },
        () => {
          this.#value = undefined;
        },
      );
    }
    return this.#value;
  }
}
