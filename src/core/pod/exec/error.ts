import type { ErrorCode } from '../../error-codes.js';
import { HyperplugError, isHyperplugError } from '../../errors.js';
import type { ExecOptions, ExecResult } from './types.js';

const BRAND = Symbol.for('hyperplug.exec-error');
const MAX_TAIL = 4096;

/**
 * A command that failed, with all that is known of it. Its code is POD_COMMAND_FAILED (exit code, signal, too much output),
 * TIMEOUT or ABORTED.
 */
export class ExecError<O extends ExecOptions = ExecOptions> extends HyperplugError implements ExecResult<O> {
  override readonly name: string = 'ExecError';
  readonly argv: ExecResult['argv'];
  readonly command: string;
  readonly exitCode: ExecResult['exitCode'];
  readonly signal: ExecResult['signal'];
  readonly stdout: ExecResult<O>['stdout'];
  readonly stderr: ExecResult<O>['stderr'];
  readonly durationMs: number;
  readonly failed = true;
  readonly timedOut: boolean;
  readonly isCanceled: boolean;
  readonly isMaxBuffer: boolean;

  constructor(result: ExecResult<O>, options: { readonly maxBufferBytes: number; readonly cause?: unknown }) {
    const { argv, exitCode, signal, durationMs } = result;
    super(codeOf(result, options.cause), `${result.command}: ${happened(result, options)}`, {
      cause: options.cause,
      details: { argv, exitCode, signal, durationMs, stderrTail: tailOf(result.stderr) },
    });
    Object.defineProperty(this, BRAND, { value: true });
    this.argv = argv;
    this.command = result.command;
    this.exitCode = exitCode;
    this.signal = signal;
    this.stdout = result.stdout;
    this.stderr = result.stderr;
    this.durationMs = durationMs;
    this.timedOut = result.timedOut;
    this.isCanceled = result.isCanceled;
    this.isMaxBuffer = result.isMaxBuffer;
  }
}

export function isExecError(value: unknown): value is ExecError {
  return isHyperplugError(value) && (value as unknown as Record<symbol, unknown>)[BRAND] === true;
}

function codeOf({ timedOut, isCanceled }: ExecResult<never>, cause: unknown): ErrorCode {
  if (timedOut) return 'TIMEOUT';
  if (isCanceled) return isHyperplugError(cause) && cause.code === 'TIMEOUT' ? 'TIMEOUT' : 'ABORTED';
  return 'POD_COMMAND_FAILED';
}

function happened(result: ExecResult<never>, options: { maxBufferBytes: number; cause?: unknown }): string {
  if (result.timedOut) return `did not end in time, was killed after ${Math.round(result.durationMs)} ms`;
  if (result.isCanceled) return 'was killed, as its caller aborted it';
  if (result.isMaxBuffer) return `wrote more than ${options.maxBufferBytes} bytes (maxBufferBytes) and was killed`;
  if (options.cause instanceof Error) return `was killed, as its input failed: ${options.cause.message}`;
  if (result.signal) return `was ended by ${result.signal}`;
  return `ended with exit code ${result.exitCode}`;
}

function tailOf(output: unknown): string {
  const text = Buffer.isBuffer(output)
    ? output.subarray(-MAX_TAIL).toString('utf8')
    : Array.isArray(output)
      ? output.slice(-64).join('\n')
      : String(output);
  return text.slice(-MAX_TAIL);
}
