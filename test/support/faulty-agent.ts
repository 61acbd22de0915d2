import type { Duplex } from 'node:stream';
import type { SessionFeatures } from '../../src/core/agent.js';
import { type CallOptions, raceSignal } from '../../src/core/calls.js';
import { HyperplugError } from '../../src/core/errors.js';
import { FAKE_FEATURES, FakeAgent, FakeSession } from '../../src/testing/index.js';

type Answer = { readonly result: unknown; readonly body: Buffer };
type Ask = () => Promise<Answer>;

/** What the agent makes of a call in place of answering it; `ask` has it answered. */
export type Behaviour = (ask: Ask, args: unknown, options: CallOptions) => Promise<Answer>;

export const refuses: Behaviour = async () => {
  throw new HyperplugError('AGENT_REFUSED', 'the agent: no', { details: { reason: 'no', errno: 1 } });
};
/** Nothing comes, whatever was done. */
export const silent: Behaviour = (_ask, _args, { signal }) => raceSignal(new Promise<never>(() => {}), signal, 'agent');
/** It is done, and nobody hears of it. */
export const doesSilently: Behaviour = async (ask, args, options) => {
  await ask();
  return silent(ask, args, options);
};

/** A FakeAgent whose calls a test can make fail; `script` has a behaviour for the next calls of a name. */
export class FaultyAgent extends FakeAgent {
  readonly calls: string[] = [];
  readonly #planned = new Map<string, Behaviour[]>();
  /** For every call, until it is taken back. */
  always: Behaviour | undefined;

  /** @param lacks what the agent in the guest cannot do. */
  constructor(readonly lacks: Partial<SessionFeatures> = {}) {
    super();
  }

  plan(name: string, behaviour: Behaviour): void {
    this.#planned.set(name, [...(this.#planned.get(name) ?? []), behaviour]);
  }

  behaviour(name: string): Behaviour | undefined {
    this.calls.push(name);
    return this.#planned.get(name)?.shift() ?? this.always;
  }

  protected override session(channel: Duplex): FakeSession {
    return new FaultySession(this, channel);
  }
}

class FaultySession extends FakeSession {
  override readonly features: SessionFeatures = { ...FAKE_FEATURES, ...(this.agent as FaultyAgent).lacks };

  override async call(name: string, args: unknown, options: CallOptions, body?: Uint8Array): Promise<Answer> {
    const ask = () => super.call(name, args, options, body);
    const behaviour = (this.agent as FaultyAgent).behaviour(name);
    if (!behaviour) return ask();
    const died = this.closed.then((reason) => Promise.reject(reason));
    return Promise.race([behaviour(ask, args, options), died]);
  }
}
