import { constants } from 'node:os';
import type { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ExecExit, GuestProcess, TerminalSize } from '../../agent.js';
import { raceSignal, withDeadline } from '../../calls.js';
import { HyperplugError } from '../../errors.js';
import { Ending } from './ending.js';
import { ExecError, isExecError } from './error.js';
import { commandInput, feed } from './input.js';
import { linesOf } from './lines.js';
import {
  checkExec,
  commandText,
  DEFAULT_FORCE_KILL_AFTER_MS,
  DEFAULT_MAX_BUFFER_BYTES,
  requestOf,
  signalName,
  signalNumber,
} from './options.js';
import { CommandOutput } from './output.js';
import { present } from './present.js';
import type { ExecOptions, ExecRequest, ExecResult, IterableOptions, PipeDestination, PodProcess } from './types.js';

const { SIGPIPE } = constants.signals;
const CALL_TIMEOUT_MS = 10_000;
/** A killed command's output may be held open by its children: how long it is still taken. */
const LAST_OUTPUT_MS = 1_000;

/** What starts a command; the signal ends the start alone. */
export type Spawn = (request: ExecRequest, signal: AbortSignal) => Promise<GuestProcess>;
/** Makes a better reason of what broke a conversation. */
export type Explain = (error: unknown) => Promise<unknown>;

/** See PodProcess. Whatever carries the conversation with the guest, this is what a user holds. */
export class ExecProcess<O extends ExecOptions> implements PodProcess<O> {
  readonly [Symbol.toStringTag] = 'PodProcess';
  readonly #argv: readonly string[];
  readonly #options: O;
  readonly #maxBufferBytes: number;
  readonly #startedMs = performance.now();
  readonly #guest: Promise<GuestProcess>;
  readonly #stdout: CommandOutput;
  readonly #stderr: CommandOutput;
  readonly #ending: Ending;
  readonly #result: Promise<ExecResult<O>>;
  #stdin: Writable | undefined;
  #over = false;

  constructor(argv: readonly string[], options: O, spawn: Spawn, explain: Explain) {
    checkExec(argv, options);
    this.#argv = [...argv];
    this.#options = options;
    this.#maxBufferBytes = options.maxBufferBytes ?? DEFAULT_MAX_BUFFER_BYTES;
    const collect = options.buffer !== false;
    const overflow = () => this.#ending.begin({ why: 'maxBuffer' });
    this.#stdout = new CommandOutput(collect, this.#maxBufferBytes, overflow);
    this.#stderr = new CommandOutput(collect, this.#maxBufferBytes, overflow);
    this.#ending = new Ending({
      signal: options.signal,
      timeoutMs: options.timeoutMs,
      killSignal: signalNumber(options.killSignal ?? 'SIGTERM'),
      forceKillAfterMs: options.forceKillAfterMs ?? DEFAULT_FORCE_KILL_AFTER_MS,
      kill: (signal) => this.#send(signal),
    });
    // A turn later, so that it is known whether the caller has taken stdin.
    this.#guest = Promise.resolve().then(() => spawn(requestOf(argv, options), this.#ending.start));
    this.#guest.catch(() => {});
    this.#result = this.#run(explain);
  }

  get started(): Promise<void> {
    return this.#guest.then(() => {});
  }
  get stdin(): Writable {
    this.#stdin ??= commandInput(this.#guest.then(({ stdin }) => stdin));
    return this.#stdin;
  }
  get stdout(): Readable {
    return this.#stdout.stream;
  }
  get stderr(): Readable {
    return this.#stderr.stream;
  }

  async kill(signal: NodeJS.Signals | number = 'SIGTERM'): Promise<void> {
    const number = signalNumber(signal);
    await this.#guest;
    try {
      await this.#send(number);
    } catch (error) {
      // It may have ended meanwhile, and then that is no news.
      const ended = await Promise.race([this.#ended(), new Promise((resolve) => setTimeout(resolve, 200, false))]);
      if (!ended) throw error;
    }
  }

  async resize(size: TerminalSize): Promise<void> {
    const guest = await this.#guest;
    await withDeadline('resize the terminal', CALL_TIMEOUT_MS, undefined, (call) => guest.resize(size, call));
  }

  iterable(options: IterableOptions & { readonly binary: true }): AsyncGenerator<Buffer, void, undefined>;
  iterable(options?: IterableOptions & { readonly binary?: false }): AsyncGenerator<string, void, undefined>;
  async *iterable({ from = 'stdout', binary = false }: IterableOptions = {}): AsyncGenerator<unknown, void, undefined> {
    // What it rejects with is thrown here.
    this.#result.catch(() => {});
    const { uncollected } = from === 'stdout' ? this.#stdout : this.#stderr;
    let finished = false;
    try {
      yield* binary ? uncollected : linesOf(uncollected, this.#maxBufferBytes);
      finished = true;
    } catch (error) {
      await this.#abandon(error);
      // A broken stream is explained by the result, unless that is our doing.
      const result = await this.#result.catch((reason: unknown) => reason);
      throw result instanceof Error && !(isExecError(result) && result.isCanceled) ? result : error;
    } finally {
      if (!finished) await this.#abandon();
    }
    await this.#result;
  }

  [Symbol.asyncIterator](): AsyncGenerator<string, void, undefined> {
    return this.iterable();
  }

  pipe<D extends PipeDestination>(destination: D): Promise<Awaited<D>> {
    const { stdin } = destination;
    if (!stdin) throw new TypeError('pipe(): expected a destination with a standard input that is open (stdin)');
    const moved = pipeline(this.#stdout.uncollected, stdin).catch(() => this.#send(SIGPIPE).catch(() => {}));
    const both = async (): Promise<Awaited<D>> => {
      const [ours, theirs] = await Promise.allSettled([this.#result, destination, moved]);
      if (ours.status === 'rejected' && !(isExecError(ours.reason) && ours.reason.exitCode === 128 + SIGPIPE)) {
        throw ours.reason;
      }
      if (theirs.status === 'rejected') throw theirs.reason;
      return theirs.value as Awaited<D>;
    };
    return both();
  }

  // biome-ignore lint/suspicious/noThenProperty: it is a promise, in the habits of execa
  then<A = ExecResult<O>, B = never>(
    onFulfilled?: ((result: ExecResult<O>) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.#result.then(onFulfilled, onRejected);
  }
  catch<B = never>(onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null): Promise<ExecResult<O> | B> {
    return this.#result.catch(onRejected);
  }
  finally(onFinally?: (() => void) | null): Promise<ExecResult<O>> {
    return this.#result.finally(onFinally);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#abandon();
  }

  async #run(explain: Explain): Promise<ExecResult<O>> {
    try {
      let guest: GuestProcess;
      try {
        guest = await this.#guest;
      } catch (error) {
        if (this.#ending.reason) return this.#finish(undefined);
        throw error;
      }
      this.#ending.runs();
      this.#openInput(guest);
      return this.#finish(await this.#wait(guest));
    } catch (error) {
      throw await explain(error);
    } finally {
      this.#over = true;
      this.#ending.dispose();
      this.#stdout.end();
      this.#stderr.end();
      this.#stdin?.destroy();
    }
  }

  #openInput(guest: GuestProcess): void {
    const { input, stdin, terminal } = this.#options;
    guest.stdin.on('error', () => {});
    if (input !== undefined) {
      feed(input, this.stdin).catch((cause: unknown) => this.#ending.begin({ why: 'input', cause }));
    } else if (stdin === 'ignore' || (stdin === undefined && !this.#stdin && !terminal)) {
      guest.stdin.end();
    }
  }

  /** undefined: it was given up on. */
  async #wait(guest: GuestProcess): Promise<ExecExit | undefined> {
    const outputs = Promise.all([this.#stdout.take(guest.stdout), this.#stderr.take(guest.stderr)]);
    outputs.catch(() => {});
    try {
      const exit = await raceSignal(guest.exited, this.#ending.givenUp, 'the end of the command');
      this.#ending.exited(LAST_OUTPUT_MS);
      await raceSignal(outputs, this.#ending.givenUp, 'the output of the command').catch((error: unknown) => {
        if (!this.#ending.reason) throw error;
      });
      return exit;
    } catch (error) {
      if (this.#ending.givenUp.aborted) return undefined;
      throw error;
    } finally {
      for (const stream of [guest.stdin, guest.stdout, guest.stderr]) stream.destroy();
    }
  }

  #finish(exit: ExecExit | undefined): ExecResult<O> {
    const { reason } = this.#ending;
    const exitCode = exit?.exitCode;
    const result: ExecResult<O> = {
      argv: this.#argv,
      command: commandText(this.#argv),
      exitCode,
      signal: signalName(exit?.signal),
      stdout: present(this.#stdout.collected, this.#options),
      stderr: present(this.#stderr.collected, this.#options),
      durationMs: performance.now() - this.#startedMs,
      failed: exitCode !== 0 || reason !== undefined,
      timedOut: reason?.why === 'timeout',
      isCanceled: reason?.why === 'canceled',
      isMaxBuffer: reason?.why === 'maxBuffer',
    };
    if (!result.failed || this.#options.reject === false) return result;
    throw new ExecError<O>(result, { maxBufferBytes: this.#maxBufferBytes, cause: reason?.cause });
  }

  async #send(signal: number): Promise<void> {
    const guest = await this.#guest;
    await withDeadline('send a signal to the command', CALL_TIMEOUT_MS, undefined, (call) => guest.kill(signal, call));
  }

  /** True when it has ended, whatever way. */
  async #ended(): Promise<boolean> {
    await this.#guest.then(({ exited }) => exited).catch(() => {});
    return true;
  }

  async #abandon(cause?: unknown): Promise<void> {
    if (!this.#over) {
      const reason = cause ?? new HyperplugError('ABORTED', `${this.#argv[0]}: nobody reads it any more`);
      this.#ending.begin({ why: 'canceled', cause: reason });
    }
    await this.#result.catch(() => {});
  }
}
