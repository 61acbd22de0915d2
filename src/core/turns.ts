/** Calls that wait for one another by name: those of one name go one at a time, others at once. */
export class Turns {
  readonly #last = new Map<string, Promise<unknown>>();

  inTurn<T>(name: string, body: () => Promise<T>): Promise<T> {
    const before = this.#last.get(name) ?? Promise.resolve();
    const turn = before.then(body, body);
    const settled = turn.catch(() => {});
    this.#last.set(name, settled);
    void settled.then(() => {
      if (this.#last.get(name) === settled) this.#last.delete(name);
    });
    return turn;
  }

  /** In the turn of each of several; taken in the order of their names, so that no two wait for each other. */
  inTurns<T>(names: readonly string[], body: () => Promise<T>): Promise<T> {
    const [first, ...rest] = [...names].sort();
    return first === undefined ? body() : this.inTurn(first, () => this.inTurns(rest, body));
  }
}
