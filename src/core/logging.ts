import { createRequire } from 'node:module';
import type { Logger, default as Pino } from 'pino';
import type { prettyFactory } from 'pino-pretty';
import { type LOG_FORMATS, LOG_LEVELS } from './config/schema.js';
import { scrubbed } from './scrub.js';

export interface LoggingOptions {
  readonly level: (typeof LOG_LEVELS)[number];
  readonly format: (typeof LOG_FORMATS)[number];
  /** Text that is never written, wherever it turns up. Shorter than 4 characters: not looked for. */
  readonly secrets?: readonly string[];
  /** Gets each line, its end included. Default: standard error. */
  readonly destination?: { write(text: string): void };
  /** Of the destination; decides `auto` and colours. Default: whether standard error is one. */
  readonly isTerminal?: boolean;
  /** Of a process that stays: all that lines need is loaded now, as later there may be no descriptor left for it. */
  readonly serves?: boolean;
}

type Level = Exclude<(typeof LOG_LEVELS)[number], 'silent'>;

export type Log = Pick<Logger, Level> & { child(bindings: object): Log };

const MIN_SECRET_LENGTH = 4;
const REDACTED = '***';
const requireHere = createRequire(import.meta.url);

/**
 * A pino logger that writes synchronously, in this thread: the last line before a crash is not lost, and starting costs no
 * worker. Children per component: `logger.child({ component: 'qemu' })`. Secrets, and the values of environment variables
 * under `env`, `envs` or `environment`, are replaced by `***`; an Error, under any key, is written with code, details,
 * cause and all its errors.
 */
export function createLogger(options: LoggingOptions): Log {
  let made = options.serves ? pinoLogger(options) : undefined;
  return lazily(options.level, () => {
    made ??= pinoLogger(options);
    return made;
  });
}

/** pino is loaded with the first line, too: most commands write none, and each would wait for it. */
function lazily(least: LoggingOptions['level'], logger: () => Logger): Log {
  const writer = (level: Level) =>
    LOG_LEVELS.indexOf(level) <= LOG_LEVELS.indexOf(least)
      ? (...args: Parameters<Logger['info']>) => logger()[level](...args)
      : () => {};
  const levels = LOG_LEVELS.filter((level) => level !== 'silent').map((level) => [level, writer(level)]);
  return {
    ...(Object.fromEntries(levels) as Pick<Logger, Level>),
    child: (bindings) => {
      let made: Logger | undefined;
      return lazily(least, () => {
        made ??= logger().child(scrubbed(bindings) as Record<string, unknown>);
        return made;
      });
    },
  };
}

function pinoLogger(options: LoggingOptions): Logger {
  const pino = requireHere('pino') as typeof Pino;
  const isTerminal = options.isTerminal ?? process.stderr.isTTY === true;
  const isPretty = options.format === 'auto' ? isTerminal : options.format === 'pretty';
  const sink = options.destination ?? standardError(pino);
  const mask = masker(options.secrets ?? []);
  const format = isPretty ? prettyLine(isTerminal, options.serves) : (line: string) => line;
  return pino(
    {
      level: options.level,
      base: { pid: process.pid },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: {
        level: (label) => ({ level: label }),
        log: (fields) => scrubbed(fields) as Record<string, unknown>,
      },
      // Errors have become plain by then.
      serializers: { err: (error: unknown) => error },
    },
    { write: (line: string) => sink.write(format(mask(line))) },
  );
}

function standardError(pino: typeof Pino): { write(text: string): void } {
  const sink = pino.destination({ dest: 2, sync: true });
  sink.on('error', () => {}); // Nobody reads it any more: not a reason to fail.
  return sink;
}

/** Replaces secrets in a line of JSON, as which they stand there escaped; the longest first, as one may be part of another. */
function masker(secrets: readonly string[]): (line: string) => string {
  const escaped = secrets
    .filter((secret) => secret.length >= MIN_SECRET_LENGTH)
    .map((secret) => JSON.stringify(secret).slice(1, -1))
    .sort((a, b) => b.length - a.length);
  return (line) => escaped.reduce((text, secret) => text.replaceAll(secret, REDACTED), line);
}

/** pino-pretty is loaded with the first line, unless `atOnce`: most runs on a terminal write none. */
function prettyLine(colorize: boolean, atOnce = false): (line: string) => string {
  const load = () =>
    (requireHere('pino-pretty') as { prettyFactory: typeof prettyFactory }).prettyFactory({
      colorize,
      translateTime: 'SYS:HH:MM:ss.l',
      ignore: 'pid,component',
      messageFormat: '{if component}{component}: {end}{msg}',
    });
  let pretty = atOnce ? load() : undefined;
  return (line) => {
    pretty ??= load();
    return pretty(line) ?? line;
  };
}
