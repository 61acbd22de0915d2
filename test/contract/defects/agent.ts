import type { AgentConnection, GuestNicConfig, PodSetup, TerminalSize } from '../../../src/core/agent.js';
import type { CallOptions } from '../../../src/core/calls.js';
import { FAKE_CHANNEL, FakeAgent, FakeGuest, FakeSession } from '../../../src/testing/index.js';
import type { Defect } from '../../support/seeded-defects.js';
import type { FakeAgentSuite } from '../fake-agent.js';

type Parts = Pick<FakeAgentSuite, 'agent' | 'guest' | 'capabilities'>;
type SessionClass = new (agent: FakeAgent, channel: AgentConnection['channels'][number]) => FakeSession;
type Header = { readonly type?: string; readonly process?: number; readonly stream?: number; readonly id?: number };
type Frame = { readonly header: unknown; readonly body: Buffer };

/** An agent whose sessions are of this class. */
function withSession(Session: SessionClass): Parts {
  return {
    agent: class extends FakeAgent {
      protected override session(channel: AgentConnection['channels'][number]) {
        return new Session(this, channel);
      }
    },
  };
}

/** A guest whose network is put out of order by `spoil`. */
function withGuest(spoil: (guest: FakeGuest) => void): Parts {
  return {
    guest() {
      const guest = new FakeGuest();
      spoil(guest);
      return guest;
    },
  };
}

const DIES = `when channel ${FAKE_CHANNEL} dies, everything that waits fails with AGENT_CLOSED at once`;
const FAILS = `when channel ${FAKE_CHANNEL} fails, everything that waits fails with AGENT_CLOSED at once`;
const CLOSED = 'close() ends everything, and every call afterwards rejects with AGENT_CLOSED';
const garbage = (what: string) => `${what} on channel ${FAKE_CHANNEL} ends the conversation, and nothing hangs`;
const ABORTED = 'calls that are aborted while they wait reject at once and desynchronise nothing';
const LATE = 'a call that gets no answer rejects with TIMEOUT at its deadline; its late answer does no harm';
const SILENT = 'connect() to a guest that says nothing rejects with TIMEOUT at its deadline';
const MUCH = 'much data goes through unchanged, though the reader is slow';
const REFUSED = 'what the kernel of the guest refuses is AGENT_REFUSED with its reason';
const NO_FILE = 'a file that is not there is AGENT_REFUSED, with the reason where the session has error texts';

export const AGENT_DEFECTS: readonly Defect<Parts>[] = [
  {
    what: 'keeps the first machine id that the guest was given',
    parts: withSession(
      class extends FakeSession {
        #given = false;
        override startPod({ machineId, ...setup }: PodSetup, options: CallOptions) {
          const first = !this.#given && machineId !== undefined;
          this.#given ||= first;
          return super.startPod(first ? { ...setup, machineId } : setup, options);
        }
      },
    ),
    failing: ['startPod() with a machine id gives the guest that one, and another at the next time'],
  },
  {
    what: 'lets its callers wait for ever when the channel dies',
    parts: withSession(
      class extends FakeSession {
        protected override failAll() {}
      },
    ),
    failing: [DIES, FAILS, CLOSED],
  },
  {
    what: 'keeps the streams of a conversation that is over',
    parts: withSession(
      class extends FakeSession {
        protected override failAll(reason: Parameters<FakeSession['failAll']>[0]) {
          this.processes.clear();
          super.failAll(reason);
        }
      },
    ),
    failing: [DIES, FAILS, CLOSED],
  },
  {
    what: 'takes any answer for that of the call that waits longest',
    parts: withSession(
      class extends FakeSession {
        protected override take(id: number) {
          const [oldest = id] = this.waiting.keys();
          const waiting = this.waiting.get(oldest);
          this.waiting.delete(oldest);
          return waiting;
        }
      },
    ),
    failing: ['setupInterface() of a NIC that does not appear is refused, and the session goes on'],
  },
  {
    what: 'takes the answer to a call that was aborted for a breach of the protocol',
    parts: withSession(
      class extends FakeSession {
        protected override take(id: number) {
          this.abandoned.clear();
          return super.take(id);
        }
      },
    ),
    failing: [ABORTED, LATE],
  },
  {
    what: 'merges stderr into stdout',
    parts: withSession(
      class extends FakeSession {
        protected override handle({ header, body }: Frame) {
          const { stream, type } = header as Header;
          super.handle({
            header: type === 'out' && stream === 2 ? { ...(header as object), stream: 1 } : header,
            body,
          });
        }
      },
    ),
    failing: ['stdout and stderr are kept apart'],
  },
  {
    what: 'says exit code 0 whatever happened',
    parts: withSession(
      class extends FakeSession {
        protected override handle({ header, body }: Frame) {
          const exit = (header as Header).type === 'exit';
          super.handle({ header: exit ? { ...(header as object), exitCode: 0 } : header, body });
        }
      },
    ),
    failing: [
      'a process that ends says its exit code',
      'many processes at once keep their data and exit codes apart',
      'kill() ends a process by the signal',
    ],
  },
  {
    what: 'never tells the guest that the input has ended',
    parts: withSession(
      class extends FakeSession {
        override send(header: object, body?: Uint8Array) {
          if ((header as Header).type !== 'in-end') super.send(header, body);
        }
      },
    ),
    failing: ['stdin arrives, and its end does: an empty one, and a short one'],
  },
  {
    what: 'cuts each portion of input at 512 bytes',
    parts: withSession(
      class extends FakeSession {
        override send(header: object, body?: Uint8Array) {
          super.send(header, (header as Header).type === 'in' ? body?.subarray(0, 512) : body);
        }
      },
    ),
    failing: ['every byte value goes through, at every size around the usual limits', MUCH],
  },
  {
    what: 'never gives the guest room for more output',
    parts: withSession(
      class extends FakeSession {
        override send(header: object, body?: Uint8Array) {
          if ((header as Header).type !== 'room') super.send(header, body);
        }
      },
    ),
    failing: [MUCH, 'output that its reader throws away does not keep the process from ending'],
  },
  {
    what: 'takes input without end, though the process does not read',
    parts: withSession(
      class extends FakeSession {
        override send(header: object, body?: Uint8Array) {
          super.send(header, body);
          const { type, process = 0 } = header as Header;
          if (type === 'in' && body) this.processes.get(process)?.stdin.giveRoom(body.length);
        }
        protected override handle(frame: Frame) {
          if ((frame.header as Header).type !== 'room') super.handle(frame);
        }
      },
    ),
    failing: ['stdin is held up when the process does not read: what is buffered stays bounded'],
  },
  {
    what: 'stops reading the channel while one stream is not read',
    parts: withSession(
      class extends FakeSession {
        protected override handle(frame: Frame) {
          super.handle(frame);
          const { type, process = 0 } = frame.header as Header;
          const stdout = this.processes.get(process)?.stdout;
          if (type !== 'out' || !stdout || stdout.readableFlowing) return;
          this.channel.pause();
          stdout.once('resume', () => this.channel.resume());
        }
      },
    ),
    failing: ['a stream that nobody reads holds up no other'],
  },
  {
    what: 'does not mind what is no message',
    parts: withSession(
      class extends FakeSession {
        protected override end(reason: Parameters<FakeSession['end']>[0]) {
          if (reason.code !== 'AGENT_PROTOCOL') super.end(reason);
        }
      },
    ),
    failing: [garbage('bytes 0xff'), garbage('a flood of zeros'), garbage('words of another protocol')],
  },
  {
    what: 'reports what was refused as done',
    parts: withSession(
      class extends FakeSession {
        protected override handle({ header, body }: Frame) {
          const { type, id } = header as Header;
          super.handle({ header: type === 'error' ? { type: 'ok', id } : header, body });
        }
      },
    ),
    failing: [NO_FILE, 'addRoutes() adds all or none'],
  },
  {
    what: 'gives no reason for a refusal',
    parts: withSession(
      class extends FakeSession {
        protected override refusal(message: Parameters<FakeSession['refusal']>[0]) {
          return super.refusal({ ...message, reason: '' });
        }
      },
    ),
    failing: [REFUSED, NO_FILE],
  },
  {
    what: 'waits for READY without a deadline',
    parts: {
      agent: class extends FakeAgent {
        override connect(connection: AgentConnection, { signal }: CallOptions) {
          // Aborted before: that at least it sees.
          return super.connect(connection, { signal: signal.aborted ? signal : new AbortController().signal });
        }
      },
    },
    failing: [SILENT, 'connect() that is aborted while it waits rejects at once and destroys the channels'],
  },
  {
    what: 'leaves the channels open when it cannot connect',
    parts: withSession(
      class extends FakeSession {
        override async close() {}
      },
    ),
    failing: [SILENT, CLOSED],
  },
  {
    what: 'fails at closing what is closed',
    parts: withSession(
      class extends FakeSession {
        override async close() {
          if (this.over) throw new Error('not open');
          await super.close();
        }
      },
    ),
    failing: ['close() is idempotent, also after the channel died'],
  },
  {
    what: 'declares terminals and does not resize them',
    parts: withSession(
      class extends FakeSession {
        override call(name: string, args: unknown, options: CallOptions, body?: Uint8Array) {
          if (name !== 'resize') return super.call(name, args, options, body);
          const { process } = args as { process: number; size: TerminalSize };
          void process;
          return Promise.resolve({ result: undefined, body: Buffer.alloc(0) });
        }
      },
    ),
    failing: ['resize() changes the size'],
  },
  {
    what: 'does what it does not declare',
    parts: {
      ...withSession(
        class extends FakeSession {
          protected override ensureDeclared() {}
        },
      ),
      capabilities: { terminal: false, files: false, onlineCpuMemory: false },
    },
    failing: [
      'exec() with a terminal rejects with NOT_SUPPORTED where terminal is not declared',
      'writeFile() and readFile() reject with NOT_SUPPORTED where files is not declared',
      'onlineCpuMemory() agrees with the capabilities',
    ],
  },
  {
    what: 'finds a NIC by the name that it expects',
    parts: withGuest(({ network }) => {
      const configure = network.configure.bind(network);
      network.configure = (config: GuestNicConfig) => {
        const [, first] = network.read().links;
        return { ...configure({ ...config, mac: first?.mac ?? config.mac }), mac: config.mac };
      };
    }),
    failing: ['NICs that are set up at once are not mixed up: each has its own address'],
  },
  {
    what: 'reports an address deleted and keeps it',
    parts: withGuest(({ network }) => {
      const configure = network.configure.bind(network);
      network.configure = (config: GuestNicConfig) => configure({ ...config, removeAddresses: [] });
    }),
    failing: ['addresses are added to those there are, and removed one by one', REFUSED],
  },
  {
    what: 'adds the routes before the one that is refused',
    parts: withGuest(({ network }) => {
      const addRoutes = network.addRoutes.bind(network);
      network.addRoutes = (routes) => {
        for (const route of routes) addRoutes([route]);
      };
    }),
    failing: ['addRoutes() adds all or none'],
  },
];
