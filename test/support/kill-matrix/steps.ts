import childProcess from 'node:child_process';
import fs from 'node:fs';
import { createRequire, syncBuiltinESMExports } from 'node:module';
import net from 'node:net';

/**
 * Every effect that this process has on the outside, numbered: what is written to files, sockets of netlink, LMDB and the
 * kernel (koffi), and programs that are started. Installed at the edge of Node itself, so that no code under test has to
 * know of it. Import this before the code under test.
 */
export interface Steps {
  /** Calls `onStep` before each effect from now on. */
  begin(onStep: (step: number, what: string) => void): void;
  end(): number;
}

type Method = (...args: never[]) => unknown;

let listener: ((step: number, what: string) => void) | undefined;
let count = 0;

function step(what: string): void {
  if (!listener) return;
  count += 1;
  listener(count, what);
}

/** Wraps methods of an object; `effect` says what a call does to the outside, undefined: nothing. */
function wrap(target: object, names: readonly string[], effect: (name: string, args: unknown[]) => string | undefined) {
  const methods = target as Record<string, Method>;
  for (const name of names) {
    const original = methods[name];
    if (typeof original !== 'function') continue;
    const wrapped = function (this: unknown, ...args: never[]) {
      const what = effect(name, args);
      if (what !== undefined) step(what);
      return original.apply(this, args);
    };
    Object.assign(wrapped, original);
    Object.defineProperty(methods, name, { value: wrapped, configurable: true, writable: true, enumerable: true });
  }
}

const { O_CREAT, O_TRUNC } = fs.constants;
const short = (value: unknown) => (typeof value === 'string' ? value.split('/').slice(-2).join('/') : '');

function installFiles(): void {
  const changing = ['mkdir', 'rm', 'rename', 'unlink', 'link', 'chmod', 'chown', 'writeFile', 'appendFile', 'symlink'];
  const sync = changing.map((name) => `${name}Sync`);
  const effect = (name: string, args: unknown[]) => `${name} ${short(args[0])}`;
  wrap(fs, sync, effect);
  wrap(fs, ['openSync'], (name, args) => {
    const flags = args[1];
    const makes = typeof flags === 'number' ? (flags & (O_CREAT | O_TRUNC)) !== 0 : /^[aw]/.test(String(flags));
    // The locks of single transactions are of no other effect.
    if (!makes && args[0] !== '/dev/net/tun') return undefined;
    return /\.mdb\.(lock|gate)$/.test(String(args[0])) ? undefined : `${name} ${short(args[0])}`;
  });
  // Requests to the kernel's network, and taps that go.
  wrap(fs, ['write', 'close'], (name, args) => (name === 'write' && isQuery(args[1]) ? undefined : name));
  wrap(fs, ['writeSync'], (name, args) => (isChange(args[1]) ? name : undefined));
  wrap(fs.promises, changing, effect);
}

/** rtnetlink(7): of each four message types the third asks and changes nothing. */
const isQuery = (message: unknown) =>
  Buffer.isBuffer(message) && message.length >= 16 && message.readUInt16LE(4) >= 16 && (message[4] as number) % 4 === 2;

/** Of rtnetlink, or a batch of nf_tables (NFNL_MSG_BATCH_BEGIN, 16 as well). */
const isChange = (message: unknown) =>
  Buffer.isBuffer(message) &&
  message.length >= 16 &&
  message.readUInt32LE(0) <= message.length &&
  message.readUInt16LE(4) >= 16 &&
  message.readUInt16LE(4) < 128 &&
  !isQuery(message);

/** Programs that only tell. */
const tells = (args: unknown[]) => args.flat().some((word) => /-save$|^--test$/.test(String(word)));

function installNative(require: NodeRequire): void {
  const koffi = require('koffi') as { load(...args: unknown[]): { func(...args: unknown[]): Method } };
  const { load } = koffi;
  const effects = /\b(ioctl|sendmsg|bind|listen)\b/;
  Object.defineProperty(koffi, 'load', {
    configurable: true,
    writable: true,
    enumerable: true,
    value: (...args: unknown[]) => {
      const library = load.apply(koffi, args);
      const func = library.func.bind(library);
      const wrappedFunc = (...definition: unknown[]) => {
        const native = func(...definition);
        const name = effects.exec(String(definition[0]))?.[1];
        if (name === undefined) return native;
        const wrapped = (...given: never[]) => {
          step(name);
          return native(...given);
        };
        return Object.assign(wrapped, native);
      };
      // Its own property cannot be written.
      return new Proxy(library, {
        get: (target, key) => (key === 'func' ? wrappedFunc : (target as unknown as Record<PropertyKey, unknown>)[key]),
      });
    },
  });
  const lmdb = require('lmdb') as { open(...args: unknown[]): object };
  const { open } = lmdb;
  Object.defineProperty(lmdb, 'open', {
    configurable: true,
    writable: true,
    enumerable: true,
    value: (...args: unknown[]) => {
      const database = open.apply(lmdb, args);
      const methods = database as Record<string, Method>;
      const transaction = methods.transactionSync?.bind(database) as (body: () => unknown) => unknown;
      methods.transactionSync = ((body: () => unknown) => {
        const result = transaction(() => {
          const value = body();
          step('lmdb commit');
          return value;
        });
        step('lmdb committed');
        return result;
      }) as Method;
      return database;
    },
  });
}

/** Once, before the code under test is imported. */
export function installSteps(): Steps {
  installFiles();
  wrap(childProcess, ['spawn', 'execFile', 'execFileSync', 'spawnSync'], (name, args) =>
    tells(args) ? undefined : `${name} ${short(args[0])}`,
  );
  wrap(net.Server.prototype, ['listen'], (name) => `server ${name}`);
  wrap(net.Socket.prototype, ['write'], (name) => `socket ${name}`);
  installNative(createRequire(import.meta.url));
  syncBuiltinESMExports();
  return {
    begin(onStep) {
      count = 0;
      listener = onStep;
    },
    end() {
      listener = undefined;
      return count;
    },
  };
}
