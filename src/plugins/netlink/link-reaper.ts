import type { CallOptions } from '../../core/calls.js';
import type { Rtnl } from './rtnl.js';

/** Beyond every group of ours (31 bits), and not the kernel's default. */
const DOOMED_GROUPS = 0x8000_0000;
/** From so many on the detour by a group is shorter. */
const MIN_BULK = 3;

/**
 * Deletes links, those of one turn of the event loop together: the kernel waits for its readers (RCU, some 16 ms) once for
 * each request, however many links it names by their group.
 */
export class LinkReaper {
  #waiting: { readonly index: number; readonly done: PromiseWithResolvers }[] = [];
  #round = 0;

  constructor(private readonly rtnl: Rtnl) {}

  /** One that is gone is no error. */
  delete(index: number, call: CallOptions): Promise<void> {
    const done = withResolvers();
    this.#waiting.push({ index, done });
    if (this.#waiting.length === 1) setImmediate(() => void this.#reap(call));
    return done.promise;
  }

  async #reap(call: CallOptions): Promise<void> {
    const links = this.#waiting;
    this.#waiting = [];
    // Each link answers for itself: one caller's signal or a refused link is not the others' affair.
    const one = async (index: number) => void (await this.rtnl.deleteLink(index, call));
    const bulk =
      links.length >= MIN_BULK &&
      (await this.#byGroup(
        links.map(({ index }) => index),
        call,
      ).catch(() => false));
    for (const { index, done } of links) {
      if (bulk) done.resolve();
      else await one(index).then(done.resolve, done.reject);
    }
  }

  async #byGroup(indexes: readonly number[], call: CallOptions): Promise<boolean> {
    const group = DOOMED_GROUPS + ((process.pid * 64 + (this.#round++ % 64)) % 0x7fff_ffff);
    await Promise.all(indexes.map((index) => this.rtnl.changeLink(index, { group }, call)));
    return this.rtnl.deleteGroup(group, call);
  }
}

interface PromiseWithResolvers {
  readonly promise: Promise<void>;
  resolve(): void;
  reject(error: unknown): void;
}

function withResolvers(): PromiseWithResolvers {
  let resolve = () => {};
  let reject = (_: unknown) => {};
  const promise = new Promise<void>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}
