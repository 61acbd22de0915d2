import type { Duplex } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import type { ExecExit, ExecSpec, GuestAgent, GuestProcess, GuestSession } from '../../../core/agent.js';
import { channelPair } from '../../kit/channel-pair.js';
import { type Suite, suiteOf, type TestContext } from '../../kit/suite.js';
import { eventually, guarded, settles } from '../../kit/timeouts.js';
import type { AgentContract, AgentPeer } from './types.js';

/** The suite's place between a guest's channel and the session. */
export interface Wire {
  /** What the session is given. */
  readonly end: Duplex;
  /** Bytes to the session, as if the guest had sent them. */
  inject(bytes: Uint8Array): void;
  /** What the guest sends is held back, until `unstall`. */
  stall(): void;
  unstall(): void;
  /** The guest is gone. */
  sever(): void;
}

export interface Ran extends ExecExit {
  readonly stdout: Buffer;
  readonly stderr: Buffer;
}

export interface AgentContext extends TestContext {
  readonly agent: GuestAgent;
  /** The wires of the conversation that connect() began. */
  readonly wires: readonly Wire[];
  /** The guest of this test. */
  peer(): Promise<AgentPeer>;
  /** A conversation with a guest of its own. */
  connect(): Promise<GuestSession>;
  /** Channels whose other ends the test holds: a guest of the worst kind. They must be destroyed in the end. */
  hostile(): { readonly ends: readonly Duplex[]; readonly guest: readonly Duplex[] };
  exec(session: GuestSession, argv: readonly string[], parts?: Partial<ExecSpec>): Promise<GuestProcess>;
  /** Runs to the end, with this input. */
  run(
    session: GuestSession,
    argv: readonly string[],
    input?: Uint8Array | string,
    parts?: Partial<ExecSpec>,
  ): Promise<Ran>;
  /** Bounded. */
  within<T>(promise: Promise<T>, what: string): Promise<T>;
}

export type AgentSuite = Suite<AgentContext>;

export function agentSuite(contract: AgentContract): AgentSuite {
  const channelsOf = new WeakMap<TestContext, Duplex[]>();
  return suiteOf<AgentContext>({
    runner: contract.runner,
    timeouts: contract.timeouts,
    async setUp(base) {
      const channels: Duplex[] = [];
      const context = await newContext(contract, base, channels);
      channelsOf.set(context, channels);
      return context;
    },
    async leftovers(context) {
      const channels = channelsOf.get(context) ?? [];
      const open = () => channels.filter((channel) => !channel.destroyed);
      await eventually(() => open().length === 0, context.timeouts.graceMs, 'channels destroyed').catch(() => {});
      return open().map((channel) => `channel ${channels.indexOf(channel)} is still open`);
    },
    async reap(context) {
      for (const channel of channelsOf.get(context) ?? []) channel.destroy();
    },
  });
}

async function newContext(contract: AgentContract, base: TestContext, channels: Duplex[]): Promise<AgentContext> {
  const limitMs = base.timeouts.callMs + base.timeouts.graceMs;
  const agent = await contract.create();
  base.defer(() => contract.dispose?.(agent));
  const bound = guarded(agent, limitMs, 'agent');
  await bound.start?.(base.options());
  base.defer(() => bound.stop?.(base.options()));
  const wires: Wire[] = [];
  let guest: Promise<AgentPeer> | undefined;
  const context: AgentContext = {
    ...base,
    agent: bound,
    wires,
    peer() {
      guest ??= (async () => {
        const peer = await contract.peer();
        base.defer(() => peer.release());
        return peer;
      })();
      return guest;
    },
    async connect() {
      const peer = await context.peer();
      wires.push(...peer.channels.map(interpose));
      const ends = wires.map(({ end }) => end);
      channels.push(...ends);
      const { creditWindowBytes = null, resumed = false } = peer;
      const session = await bound.connect({ channels: ends, creditWindowBytes, resumed }, base.options());
      const tracked = guarded(session, limitMs, 'session');
      base.defer(() => tracked.close());
      return tracked;
    },
    hostile() {
      const pairs = contract.capabilities.channels.map(() => channelPair());
      const ends = pairs.map(([end]) => end);
      channels.push(...ends);
      const guestEnds = pairs.map(([, far]) => far.on('error', () => {}).resume());
      base.defer(() => {
        for (const far of guestEnds) far.destroy();
      });
      return { ends, guest: guestEnds };
    },
    exec: async (session, argv, parts = {}) => {
      const spec = { argv, env: {}, workingDirectory: '/', terminal: false, ...parts };
      return guarded(await session.exec(spec, base.options()), limitMs, 'process');
    },
    async run(session, argv, input, parts) {
      const process = await context.exec(session, argv, parts);
      // A program that does not read its input may end before it has all of it.
      process.stdin.on('error', () => {});
      process.stdin.end(input ?? '');
      const all = Promise.all([buffer(process.stdout), buffer(process.stderr), process.exited]);
      const [stdout, stderr, exit] = await context.within(all, `${argv[0]} to its end`);
      return { ...exit, stdout, stderr };
    },
    within: (promise, what) => settles(promise, limitMs, what),
  };
  return context;
}

function interpose(inner: Duplex): Wire {
  const [end, near] = channelPair();
  inner.on('data', (chunk: Buffer) => {
    if (!near.destroyed && near.writable && !near.write(chunk)) {
      inner.pause();
      near.once('drain', () => stalled || inner.resume());
    }
  });
  near.on('data', (chunk: Buffer) => {
    if (!inner.destroyed && inner.writable && !inner.write(chunk)) {
      near.pause();
      inner.once('drain', () => near.resume());
    }
  });
  let stalled = false;
  const both = () => {
    inner.destroy();
    near.destroy();
  };
  inner.on('error', both).on('close', both);
  near.on('error', both).on('close', both);
  return {
    end,
    inject: (bytes) => void near.write(bytes),
    stall() {
      stalled = true;
      inner.pause();
    },
    unstall() {
      stalled = false;
      inner.resume();
    },
    sever: both,
  };
}

/** Bytes that repeat only after a long while, the same each time. */
export function pattern(bytes: number, seed = 1): Buffer {
  const data = Buffer.alloc(bytes);
  let state = (seed * 2_654_435_761) >>> 0 || 1;
  for (let at = 0; at < bytes; at++) {
    // xorshift32
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    data[at] = state & 255;
  }
  return data;
}
