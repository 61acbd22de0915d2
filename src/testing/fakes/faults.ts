/** Failures planned for the next calls of a fake: how users of the fakes see their own undoing at work. */
export class Faults<Point extends string> {
  readonly #planned = new Map<Point, unknown[]>();

  /** The next time `point` is passed, it fails with `error`. Several for one point fail one pass each. */
  plan(point: Point, error: unknown = new Error(`injected failure: ${point}`)): void {
    const planned = this.#planned.get(point);
    if (planned) planned.push(error);
    else this.#planned.set(point, [error]);
  }

  /** @throws what was planned for this point. */
  pass(point: Point): void {
    const planned = this.#planned.get(point);
    if (planned && planned.length > 0) throw planned.shift();
  }
}
