import { HyperplugError, hasCode, isHyperplugError } from '../core/errors.js';
import { json, type Paint, visible } from './text.js';

/** The exit codes that are ours, as env(1), timeout(1) and docker(1) have them; docs/cli.md holds the table. */
export const EXIT = {
  ok: 0,
  /** `doctor` found a failure. */
  findings: 1,
  usage: 2,
  timeout: 124,
  failed: 125,
  notExecutable: 126,
  notFound: 127,
} as const;

/** How deep a chain of causes is shown. */
const MAX_CAUSES = 3;
const MAX_STDERR_LINES = 8;

export function exitCodeOf(error: unknown): number {
  if (hasCode(error, 'CLI_USAGE')) return EXIT.usage;
  if (hasCode(error, 'AGENT_EXEC_FAILED')) return startFailure(error);
  return EXIT.failed;
}

/** The shell's two codes for a program that did not start. ENOENT is 2 (errno(3)). */
function startFailure(error: HyperplugError): number {
  const { errno, reason } = error.details;
  const text = typeof reason === 'string' ? reason : error.message;
  const missing = typeof errno === 'number' ? errno === 2 : /no such file|not found|ENOENT/i.test(text);
  return missing ? EXIT.notFound : EXIT.notExecutable;
}

export interface ErrorStyle {
  readonly json: boolean;
  /** Adds the stacks. */
  readonly debug: boolean;
  readonly paint: Paint;
}

/** What the user reads: one line, then what helps. */
export function presentError(error: unknown, style: ErrorStyle): string {
  if (style.json) return json({ error: errorObject(error, style.debug) });
  const lines = [`hyperplug: ${style.paint('red', label(error))}: ${visible(messageOf(error))}`];
  if (isHyperplugError(error)) lines.push(...fields(error, style));
  lines.push(...causes(error));
  if (style.debug) lines.push(...stacks(error));
  else if (!isHyperplugError(error)) lines.push('  this is a defect; --log-level debug shows where it happened');
  return `${lines.join('\n')}\n`;
}

function label(error: unknown): string {
  return isHyperplugError(error) ? error.code : 'internal error';
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function fields(error: HyperplugError, style: ErrorStyle): string[] {
  const lines: string[] = [];
  const { fix, hint, reason, stderrTail, consoleTail } = error.details;
  if (typeof reason === 'string' && !error.message.includes(reason)) lines.push(`  reason: ${visible(reason)}`);
  for (const [title, text] of [
    ['its last words:', stderrTail],
    ["the end of the guest's console:", consoleTail],
  ]) {
    if (typeof text !== 'string' || text.trim() === '' || error.message.includes(text.trim())) continue;
    lines.push(`  ${title}`);
    for (const line of text.trimEnd().split('\n').slice(-MAX_STDERR_LINES)) lines.push(`    ${visible(line)}`);
  }
  const all = error.errors.length > 1 ? error.errors : [];
  const each = new Set(all.map((one) => `${label(one)}: ${visible(messageOf(one))}`));
  // One reason for all of them: the message has it.
  if (each.size > 1) for (const text of each) lines.push(`  - ${text}`);
  for (const help of [fix, hint]) {
    if (typeof help === 'string') lines.push(`  ${style.paint('bold', 'fix')}: ${visible(help)}`);
  }
  return lines;
}

/** Causes that say something new: one whose words stand in its effect's message is left out. */
function causes(error: unknown): string[] {
  const lines: string[] = [];
  let told = messageOf(error);
  if (isHyperplugError(error)) for (const one of error.errors) told += `\n${messageOf(one)}`;
  for (const cause of causeChain(error)) {
    const message = messageOf(cause);
    if (told.includes(message)) continue;
    told += `\n${message}`;
    if (lines.length === MAX_CAUSES) {
      lines.push('  …');
      break;
    }
    lines.push(`  because: ${isHyperplugError(cause) ? `${cause.code}: ` : ''}${visible(message)}`);
  }
  return lines;
}

function causeChain(error: unknown): unknown[] {
  const chain: unknown[] = [];
  let next: unknown = error;
  while (next instanceof Error && next.cause !== undefined && !chain.includes(next.cause) && chain.length < 16) {
    next = next.cause;
    chain.push(next);
  }
  return chain;
}

function stacks(error: unknown): string[] {
  return [error, ...causeChain(error)].flatMap((one) =>
    one instanceof Error && one.stack
      ? visible(one.stack, '\n\t')
          .split('\n')
          .map((line) => `  ${line}`)
      : [],
  );
}

/** The same for programs. */
export function errorObject(error: unknown, debug: boolean): Record<string, unknown> {
  const known = isHyperplugError(error);
  return {
    code: known ? error.code : 'INTERNAL',
    message: messageOf(error),
    ...(known && Object.keys(error.details).length > 0 ? { details: error.details } : {}),
    ...(known && error.errors.length > 1 ? { errors: error.errors.map((one) => errorObject(one, debug)) } : {}),
    causes: causeChain(error).map((cause) => ({
      ...(isHyperplugError(cause) ? { code: cause.code } : {}),
      message: messageOf(cause),
    })),
    ...(debug && error instanceof Error ? { stack: error.stack } : {}),
  };
}

export function usageError(message: string, fix?: string): HyperplugError {
  return new HyperplugError('CLI_USAGE', message, fix === undefined ? {} : { details: { fix } });
}
