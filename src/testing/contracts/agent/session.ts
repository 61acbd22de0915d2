import assert from 'node:assert/strict';
import type { GuestSession } from '../../../core/agent.js';
import { isHyperplugError } from '../../../core/errors.js';
import { outcomeOf } from '../../kit/assertions.js';
import { abortableCall, abortedCall, settles, turn } from '../../kit/timeouts.js';
import { expectCode } from '../../runner.js';
import { type AgentContext, type AgentSuite, pattern } from './context.js';
import { type AgentContract, POSIX_PROGRAMS } from './types.js';

const setup = { hostname: 'contract', dns: ['192.0.2.53'], dnsSearch: ['example.org'], dnsOptions: [] };
const MAX_FILE_BYTES = 16 << 20;

export function sessionContract({ describe, check }: AgentSuite, contract: AgentContract): void {
  const { capabilities, directory = '/tmp', destroyable = true } = contract;

  describe('calls', () => {
    check('ping() is answered, many at once too', async ({ connect, options }) => {
      const session = await connect();
      await session.ping(options());
      await Promise.all(Array.from({ length: 50 }, () => session.ping(options())));
    });

    check('startPod() is accepted', async ({ connect, options }) => {
      const session = await connect();
      await session.startPod(setup, options());
      await session.ping(options());
    });

    check(
      'startPod() with a machine id gives the guest that one, and another at the next time',
      async ({ connect, options, peer }) => {
        const session = await connect();
        const { machineIdPath = '/etc/machine-id' } = await peer();
        for (const digit of ['a', '7']) {
          const machineId = digit.repeat(32);
          await session.startPod({ ...setup, machineId }, options());
          await session.startPod(setup, options());
          assert.equal((await session.readFile(machineIdPath, options())).toString(), `${machineId}\n`);
        }
      },
      (!contract.features.renewal && 'the session has no renewal') || (!capabilities.files && 'files is not declared'),
    );

    check(
      'destroyPod() resolves when the agent has agreed',
      async ({ connect, options }) => {
        const session = await connect();
        await session.startPod(setup, options());
        await session.destroyPod(options());
      },
      !destroyable && 'the peer is shared',
    );

    check('onlineCpuMemory() agrees with the capabilities', async ({ connect, options }) => {
      const session = await connect();
      if (capabilities.onlineCpuMemory) await session.onlineCpuMemory(options());
      else await expectCode(session.onlineCpuMemory(options()), 'NOT_SUPPORTED');
    });

    check('a call with a signal that has fired rejects with its reason, and the session goes on', async (context) => {
      const { connect, options } = context;
      const session = await connect();
      await expectCode(session.ping(abortedCall()), 'ABORTED');
      await expectCode(session.startPod(setup, abortedCall()), 'ABORTED');
      await session.ping(options());
    });

    check('calls that are aborted while they wait reject at once and desynchronise nothing', async (context) => {
      const { connect, options, run, wires } = context;
      const { programs = POSIX_PROGRAMS } = contract;
      const session = await connect();
      for (let round = 0; round < 6; round++) {
        for (const wire of wires) wire.stall();
        const call = abortableCall();
        const aborted = session.ping(call);
        aborted.catch(() => {});
        if (round % 2 === 0) await turn();
        call.abort();
        await expectCode(aborted, 'ABORTED');
        for (const wire of wires) wire.unstall();
        // The late answer to the ping is none to what is asked next.
        const next = await outcomeOf(run(session, programs.missing));
        assert.ok('error' in next || next.value.exitCode === 127, 'what cannot be started was started');
        await session.ping(options());
      }
      const { stdout } = await run(session, programs.cat, 'still in step');
      assert.equal(stdout.toString(), 'still in step');
    });

    check(
      'a call that gets no answer rejects with TIMEOUT at its deadline; its late answer does no harm',
      async (context) => {
        const { connect, options, timeouts, wires } = context;
        const session = await connect();
        for (const wire of wires) wire.stall();
        await expectCode(session.ping(options(timeouts.shortMs)), 'TIMEOUT');
        for (const wire of wires) wire.unstall();
        await session.ping(options());
      },
    );
  });

  describe('files', () => {
    const notDeclared = !capabilities.files && 'files is not declared';
    const path = `${directory}/hyperplug-contract`;

    check(
      'a file is read as it was written: empty, of every byte value, and large',
      async ({ connect, options }) => {
        const session = await connect();
        for (const size of [0, 1, 4096, 1 << 20]) {
          const content = pattern(size, size + 1);
          await session.writeFile(path, content, options());
          assert.ok((await session.readFile(path, options())).equals(content), `${size} bytes were changed`);
        }
      },
      notDeclared,
    );

    check(
      'a file that is written again is replaced whole',
      async ({ connect, options }) => {
        const session = await connect();
        await session.writeFile(path, Buffer.from('a longer content'), options());
        await session.writeFile(path, Buffer.from('short'), options());
        assert.equal((await session.readFile(path, options())).toString(), 'short');
      },
      notDeclared,
    );

    check(
      'a file that is not there is AGENT_REFUSED, with the reason where the session has error texts',
      async ({ connect, options }) => {
        const session = await connect();
        const error = await expectCode(session.readFile('/no/such/file', options()), 'AGENT_REFUSED');
        if (contract.features.errorTexts) {
          assert.equal(typeof error.details.reason, 'string');
          assert.notEqual(error.details.reason, '');
        }
        await session.ping(options());
      },
      notDeclared,
    );

    check(
      'a file of more than 16 MiB is AGENT_REFUSED, and the session goes on',
      async ({ connect, options }) => {
        const session = await connect();
        await expectCode(session.writeFile(path, Buffer.alloc(MAX_FILE_BYTES + 1), options()), 'AGENT_REFUSED');
        await session.ping(options());
      },
      notDeclared,
    );

    check(
      'writeFile() and readFile() reject with NOT_SUPPORTED where files is not declared',
      async ({ connect, options }) => {
        const session = await connect();
        await expectCode(session.writeFile(path, Buffer.from('x'), options()), 'NOT_SUPPORTED');
        await expectCode(session.readFile(path, options()), 'NOT_SUPPORTED');
      },
      capabilities.files && 'it is declared',
    );
  });
}

/** Every call of a session. */
const CALLS: Readonly<Record<string, (session: GuestSession, context: AgentContext) => Promise<unknown>>> = {
  startPod: (session, { options }) => session.startPod(setup, options()),
  destroyPod: (session, { options }) => session.destroyPod(options()),
  ping: (session, { options }) => session.ping(options()),
  setupInterface: (session, { options }) =>
    session.setupInterface(
      { mac: '02:00:00:00:00:01', expectedName: 'eth0', addAddresses: [], removeAddresses: [] },
      options(),
    ),
  deleteInterface: (session, { options }) =>
    session.deleteInterface({ mac: '02:00:00:00:00:01', expectedName: 'eth0' }, options()),
  addRoutes: (session, { options }) => session.addRoutes([{ destination: 'default', gateway: '192.0.2.1' }], options()),
  removeRoutes: (session, { options }) =>
    session.removeRoutes([{ destination: 'default', gateway: '192.0.2.1' }], options()),
  readNetwork: (session, { options }) => session.readNetwork(options()),
  exec: (session, { exec }) => exec(session, ['true']),
  writeFile: (session, { options }) => session.writeFile('/tmp/x', Buffer.from('x'), options()),
  readFile: (session, { options }) => session.readFile('/tmp/x', options()),
  onlineCpuMemory: (session, { options }) => session.onlineCpuMemory(options()),
  newContainer: (session, { options }) =>
    session.newContainer(
      { id: 'c', root: { kind: 'directory', path: '/' }, layer: { kind: 'direct' }, mounts: [] },
      options(),
    ),
  listContainers: (session, { options }) => session.listContainers(options()),
  removeContainer: (session, { options }) => session.removeContainer('c', options()),
  readContainerLog: (session, { options }) => session.readContainerLog('c', { offset: 0 }, options()),
  mountVolume: (session, { options }) =>
    session.mountVolume({ source: { kind: 'tmpfs' }, path: '/mnt/v', readOnly: false }, options()),
  reseed: (session, { options }) => session.reseed(Buffer.alloc(32, 1), options()),
  readStats: (session, { options }) => session.readStats(options()),
};

/** Which calls of a session that is over do not reject with AGENT_CLOSED (or, undeclared, NOT_SUPPORTED), in words. */
export async function notRefused(session: GuestSession, context: AgentContext): Promise<string[]> {
  const wrong: string[] = [];
  for (const [name, call] of Object.entries(CALLS)) {
    const outcome = await outcomeOf(settles(call(session, context), context.timeouts.graceMs, `${name}()`));
    const code = 'error' in outcome && isHyperplugError(outcome.error) ? outcome.error.code : undefined;
    if (code === 'AGENT_CLOSED' || code === 'NOT_SUPPORTED') continue;
    wrong.push(`${name}() ${'value' in outcome ? 'resolved' : `rejected with ${code ?? String(outcome.error)}`}`);
  }
  return wrong;
}
