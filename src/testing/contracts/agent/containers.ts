import assert from 'node:assert/strict';
import type { ContainerExit, ContainerProcess, ContainerSetup } from '../../../core/container.js';
import { abortedCall, eventually } from '../../kit/timeouts.js';
import { expectCode } from '../../runner.js';
import type { AgentContext, AgentSuite } from './context.js';
import { type AgentContract, POSIX_PROGRAMS } from './types.js';

const SIGTERM = 15;
const SIGKILL = 9;

export function containerContract({ describe, check }: AgentSuite, contract: AgentContract): void {
  const { features, programs = POSIX_PROGRAMS, container } = contract;
  const none =
    (!features.containers && 'the session has no containers') || (!container && 'no container.root is given');
  let serial = 0;
  const setup = (parts: Partial<ContainerSetup> = {}): ContainerSetup => ({
    id: `c${++serial}`,
    root: container?.root ?? { kind: 'directory', path: '/' },
    layer: { kind: 'direct' },
    mounts: [],
    ...parts,
  });
  const main = (argv: readonly string[], parts: Partial<ContainerProcess> = {}): ContainerProcess => {
    return { argv, env: {}, workingDirectory: '/', terminal: false, ...parts };
  };
  const begin = async (context: AgentContext, parts: Partial<ContainerSetup> = {}) => {
    const session = await context.connect();
    const made = setup(parts);
    await session.newContainer(made, context.options());
    context.defer(() => session.removeContainer(made.id, context.options()));
    const exits: ContainerExit[] = [];
    session.onContainerExit((exit) => void exits.push(exit));
    return { session, id: made.id, exits };
  };
  const find = async (context: AgentContext, session: Awaited<ReturnType<typeof begin>>['session'], id: string) =>
    (await session.listContainers(context.options())).find((each) => each.id === id);

  describe('containers', () => {
    check(
      'a container is created, runs its main process, tells of its end, and is gone when it is removed',
      async (context) => {
        const { session, id, exits } = await begin(context);
        const { options, timeouts } = context;
        assert.equal((await find(context, session, id))?.state, 'created');
        await session.startContainer(id, main(programs.exit(7)), options());
        await eventually(() => exits.length > 0, timeouts.callMs, 'onContainerExit');
        assert.deepEqual(exits, [{ container: id, exitCode: 7 }]);
        const exited = await find(context, session, id);
        assert.deepEqual([exited?.state, exited?.exitCode], ['exited', 7]);
        await session.removeContainer(id, options());
        assert.equal(await find(context, session, id), undefined);
        await session.removeContainer(id, options());
      },
      none,
    );

    check(
      'what the main process writes is in the log, read in parts and from any place',
      async (context) => {
        const { session, id, exits } = await begin(context);
        const { options, timeouts } = context;
        const empty = await session.readContainerLog(id, { offset: 0 }, options());
        assert.deepEqual([empty.content.length, empty.offset, empty.end], [0, 0, 0]);
        await session.startContainer(id, main(programs.print('out', 'err')), options());
        await eventually(() => exits.length > 0, timeouts.callMs, 'onContainerExit');
        const all = async () => (await session.readContainerLog(id, { offset: 0 }, options())).content.toString();
        await eventually(async () => (await all()).length === 6, timeouts.callMs, 'the log');
        assert.ok(['outerr', 'errout'].includes(await all()), `the log holds ${await all()}`);
        const part = await session.readContainerLog(id, { offset: 2, maxBytes: 3 }, options());
        assert.deepEqual([part.content.toString(), part.offset, part.end], [(await all()).slice(2, 5), 2, 6]);
        const beyond = await session.readContainerLog(id, { offset: 600 }, options());
        assert.deepEqual([beyond.content.length, beyond.offset, beyond.end], [0, 6, 6]);
      },
      none,
    );

    check(
      'a main process that runs is refused a second one, takes signals, and can be started again when it has ended',
      async (context) => {
        const { session, id, exits } = await begin(context);
        const { options, timeouts } = context;
        await session.startContainer(id, main(programs.sleep), options());
        const running = await find(context, session, id);
        assert.equal(running?.state, 'running');
        assert.ok((running?.pid ?? 0) > 0, 'its pid');
        await expectCode(session.startContainer(id, main(programs.sleep), options()), 'AGENT_REFUSED');
        await session.signalContainer(id, SIGTERM, options());
        await eventually(() => exits.length === 1, timeouts.callMs, 'onContainerExit');
        assert.deepEqual(exits, [{ container: id, exitCode: 128 + SIGTERM, signal: SIGTERM }]);
        await expectCode(session.signalContainer(id, SIGTERM, options()), 'AGENT_REFUSED');
        await session.startContainer(id, main(programs.exit(0)), options());
        await eventually(() => exits.length === 2, timeouts.callMs, 'onContainerExit again');
        assert.deepEqual(exits[1], { container: id, exitCode: 0 });
      },
      none,
    );

    check(
      'exec in a container: its output, its files, and its end with the container',
      async (context) => {
        const { session, id } = await begin(context);
        const { options, timeouts } = context;
        const { stdout } = await context.run(session, programs.print('hello', ''), '', { container: id });
        assert.equal(stdout.toString(), 'hello');
        const content = Buffer.from('of the container');
        if (contract.capabilities.files) {
          await session.writeFile('/hyperplug-contract', content, options(), { container: id, mode: 0o600 });
          const back = await session.readFile('/hyperplug-contract', options(), { container: id });
          assert.deepEqual(back, content);
          await expectCode(session.readFile('/hyperplug-contract', options()), 'AGENT_REFUSED');
        }
        const process = await context.exec(session, programs.sleep, { container: id });
        process.stdout.resume();
        process.stderr.resume();
        await session.removeContainer(id, options());
        const exit = await context.within(process.exited, 'exited');
        assert.equal(exit.exitCode, 128 + SIGKILL);
        await eventually(() => process.stdout.readableEnded, timeouts.callMs, "the end of the process's output");
      },
      none,
    );

    check(
      'a main process by exec has streams, and its end is the container’s, too',
      async (context) => {
        const { session, id, exits } = await begin(context);
        const { stdout, exitCode } = await context.run(session, programs.cat, 'through', { container: id, main: true });
        assert.deepEqual([stdout.toString(), exitCode], ['through', 0]);
        await eventually(() => exits.length === 1, context.timeouts.callMs, 'onContainerExit');
        assert.deepEqual(exits, [{ container: id, exitCode: 0 }]);
      },
      none,
    );

    check(
      'what cannot be started is AGENT_EXEC_FAILED, and the container stays as it was',
      async (context) => {
        const { session, id } = await begin(context);
        await expectCode(session.startContainer(id, main(programs.missing), context.options()), 'AGENT_EXEC_FAILED');
        assert.equal((await find(context, session, id))?.state, 'created');
      },
      none,
    );

    check(
      'a container of an id that there is, or that is malformed, is AGENT_REFUSED; so is one that is not there',
      async (context) => {
        const { session, id } = await begin(context);
        const { options } = context;
        await expectCode(session.newContainer(setup({ id }), options()), 'AGENT_REFUSED');
        for (const bad of ['', '../x', 'a/b']) {
          await expectCode(session.newContainer(setup({ id: bad }), options()), 'AGENT_REFUSED');
        }
        await expectCode(session.startContainer('none', main(programs.succeed), options()), 'AGENT_REFUSED');
        await expectCode(session.signalContainer('none', SIGTERM, options()), 'AGENT_REFUSED');
        await expectCode(session.readContainerLog('none', { offset: 0 }, options()), 'AGENT_REFUSED');
        const exec = { argv: programs.succeed, env: {}, workingDirectory: '/', terminal: false, container: 'none' };
        await expectCode(session.exec(exec, options()), 'AGENT_REFUSED', 'AGENT_EXEC_FAILED');
      },
      none,
    );

    check(
      'newContainer() with a signal that has fired makes none',
      async (context) => {
        const session = await context.connect();
        const made = setup();
        await expectCode(session.newContainer(made, abortedCall()), 'ABORTED');
        assert.equal(await find(context, session, made.id), undefined);
      },
      none,
    );

    check(
      'what is about containers rejects with NOT_SUPPORTED where the session has none',
      async ({ connect, options }) => {
        const session = await connect();
        await expectCode(session.newContainer(setup(), options()), 'NOT_SUPPORTED');
        await expectCode(session.startContainer('c', main(programs.succeed), options()), 'NOT_SUPPORTED');
        await expectCode(session.signalContainer('c', SIGTERM, options()), 'NOT_SUPPORTED');
        await expectCode(session.removeContainer('c', options()), 'NOT_SUPPORTED');
        await expectCode(session.listContainers(options()), 'NOT_SUPPORTED');
        await expectCode(session.readContainerLog('c', { offset: 0 }, options()), 'NOT_SUPPORTED');
      },
      features.containers && 'it has',
    );
  });

  describe('volumes, renewal and counters', () => {
    const tmpfs = { kind: 'tmpfs' } as const;
    const path = `${contract.directory ?? '/tmp'}/hyperplug-volume`;

    check(
      'a volume is mounted, refused a second time at its place, and unmounted',
      async ({ connect, options }) => {
        const session = await connect();
        const mount = { source: tmpfs, path, readOnly: false };
        await session.mountVolume(mount, options());
        await expectCode(session.mountVolume(mount, options()), 'AGENT_REFUSED');
        await session.unmountVolume(path, options());
        await expectCode(session.unmountVolume(path, options()), 'AGENT_REFUSED');
      },
      (!features.volumes && 'the session has no volumes') || (!container && 'no container.root is given'),
    );

    check(
      'mountVolume() and unmountVolume() reject with NOT_SUPPORTED where the session has no volumes',
      async ({ connect, options }) => {
        const session = await connect();
        await expectCode(session.mountVolume({ source: tmpfs, path, readOnly: false }, options()), 'NOT_SUPPORTED');
        await expectCode(session.unmountVolume(path, options()), 'NOT_SUPPORTED');
      },
      features.volumes && 'it has',
    );

    check(
      'reseed() and setClock() reject with NOT_SUPPORTED where the session has no renewal',
      async ({ connect, options }) => {
        const session = await connect();
        await expectCode(session.reseed(Buffer.alloc(32, 1), options()), 'NOT_SUPPORTED');
        await expectCode(session.setClock(Date.now(), options()), 'NOT_SUPPORTED');
      },
      features.renewal && 'it has',
    );

    check(
      'readStats() tells what there is',
      async ({ connect, options }) => {
        const stats = await (await connect()).readStats(options());
        assert.ok(stats.uptimeMs > 0 && stats.cpu.online > 0 && stats.memory.totalBytes > 0);
        assert.ok(stats.processCount > 0);
      },
      (!features.stats && 'the session has no stats') || (!container && 'no container.root is given'),
    );

    check(
      'readStats() rejects with NOT_SUPPORTED where the session has none',
      async ({ connect, options }) => {
        await expectCode((await connect()).readStats(options()), 'NOT_SUPPORTED');
      },
      features.stats && 'it has',
    );
  });
}
