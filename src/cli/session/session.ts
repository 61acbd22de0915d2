import { constants } from 'node:os';
import type { ExecExit, GuestProcess } from '../../core/agent.js';
import { withDeadline } from '../../core/calls.js';
import { endedWith } from '../../core/pod/pod-end.js';
import type { ExecRequest, Pod } from '../../core/pod/types.js';
import type { CommandContext } from '../context.js';
import { EXIT } from '../errors.js';
import { signalNumber } from '../interrupts.js';
import { CopyOut } from './copy-out.js';
import { Escalation } from './escalation.js';
import { forwardInput } from './forward-input.js';
import { followSize, rawMode } from './terminal.js';

const { SIGHUP, SIGKILL, SIGPIPE, SIGTERM } = constants.signals;

const SIGNAL_TIMEOUT_MS = 3_000;
/** As a program has it whose reader is gone: SIGPIPE; and no way round it. */
const READER_GONE = (signal: number) => [
  { signal, waitMs: 2_000 },
  { signal: SIGKILL, waitMs: 5_000 },
];
const OUT_OF_TIME = [
  { signal: SIGTERM, waitMs: 5_000 },
  { signal: SIGKILL, waitMs: 5_000 },
];

export interface SessionOptions {
  readonly request: ExecRequest;
  readonly forwardStdin: boolean;
  readonly timeoutMs: number | undefined;
  /** The pod lives on: a command that is given up on is killed in it. */
  readonly podStays: boolean;
}

/**
 * Runs one command in the pod with our streams, signals and terminal as its own. Resolves when it has ended and all its
 * output has been taken, with the exit code that is ours. Rejects when the pod fails it; the terminal is as before in any case.
 */
export async function runSession(context: CommandContext, pod: Pod, options: SessionOptions): Promise<number> {
  const { io, interrupts, progress } = context;
  const process = await pod.spawn(options.request, { signal: interrupts.signal });
  progress.stop();
  const cleanups: (() => void)[] = [];
  const ending = { timedOut: false };
  try {
    const { promise: abandoned, resolve: abandon } = deferred<'abandoned'>();
    const kill = (signal: number) => void sendSignal(process, signal);
    const escalation = new Escalation(kill, () => abandon('abandoned'));
    cleanups.push(() => escalation.stop());
    void interrupts.forward((signal) => kill(signalNumber(signal))).then(() => abandon('abandoned'));

    if (options.timeoutMs !== undefined) {
      const timer = setTimeout(() => {
        ending.timedOut = true;
        escalation.begin(OUT_OF_TIME);
      }, options.timeoutMs);
      cleanups.push(() => clearTimeout(timer));
    }
    for (const output of [io.stdout, io.stderr]) {
      void output.failed.then(() => escalation.begin(READER_GONE(output.isTerminal ? SIGHUP : SIGPIPE)));
    }
    const outputs = [new CopyOut(process.stdout, io.stdout), new CopyOut(process.stderr, io.stderr)];
    cleanups.push(...outputs.map((output) => () => output.abandon()));
    if (options.request.terminal) cleanups.push(followSize(io, process, options.request.size));
    cleanups.push(openInput(context, process, options));

    const exit = await Promise.race([takeAll(pod, process, outputs), abandoned]);
    const failure = io.stdout.failure ?? io.stderr.failure;
    if (failure) throw failure;
    if (exit === 'abandoned') {
      if (options.podStays) await sendSignal(process, SIGKILL);
      return abandonedCode(context, ending.timedOut);
    }
    return ending.timedOut ? EXIT.timeout : exit.exitCode;
  } finally {
    for (const cleanup of cleanups.reverse()) cleanup();
    if (ending.timedOut) {
      context.say(`TIMEOUT: the command was ended: it ran longer than ${options.timeoutMs} ms (--timeout)`);
    }
  }
}

function abandonedCode(context: CommandContext, timedOut: boolean): number {
  const { received } = context.interrupts;
  if (received) return 128 + signalNumber(received);
  return timedOut ? EXIT.timeout : 128 + SIGPIPE;
}

/** Our input into the command. Returns what ends it and gives the terminal back. */
function openInput(context: CommandContext, process: GuestProcess, options: SessionOptions): () => void {
  const { io } = context;
  process.stdin.on('error', () => {});
  if (!options.forwardStdin) {
    // A guest's terminal has no end of file but ^D, which a program that reads it would be given as a key.
    if (!options.request.terminal) process.stdin.end();
    return () => {};
  }
  const restore = options.request.terminal && io.stdinKind() === 'terminal' ? rawMode(io) : () => {};
  const stop = forwardInput(io.stdin(), process.stdin, (error) => context.say(`standard input: ${error.message}`));
  return () => {
    stop();
    restore();
  };
}

/** Its end, and all of its output. */
async function takeAll(pod: Pod, process: GuestProcess, outputs: readonly CopyOut[]): Promise<ExecExit> {
  try {
    const exit = await process.exited;
    for (const output of outputs) output.expectEnd();
    await Promise.all(outputs.map((output) => output.done));
    return exit;
  } catch (error) {
    throw await endedWith(pod, error);
  }
}

async function sendSignal(process: GuestProcess, signal: number): Promise<void> {
  try {
    await withDeadline('send a signal to the command', SIGNAL_TIMEOUT_MS, undefined, (call) =>
      process.kill(signal, call),
    );
  } catch {
    // It has ended already, or the pod has: its exit tells.
  }
}

function deferred<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve!: (value: T) => void;
  const promise = new Promise<T>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
