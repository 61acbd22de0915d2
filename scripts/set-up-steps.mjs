// The slow path of set-up.cjs: loaded only when there is something to do.
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';

const TAIL_CHARACTERS = 6_000;
const STEP_TIMEOUT_MS = 15 * 60_000;
const LOCK_TIMEOUT_S = 20 * 60;

/** A failure that is the user's to mend: shown without a stack. */
export class SetUpError extends Error {}

export function report(text) {
  process.stderr.write(`hyperplug: ${text}\n`);
}

/**
 * Runs `body` while holding an flock(2), taken by flock(1) on a descriptor shared with this process: the kernel drops it
 * when this process ends, however it ends. `body` gets the descriptor for runStep: a step that outlives us (kill -9)
 * keeps the lock until it ends too.
 */
export async function withLock(path, body) {
  mkdirSync(dirname(path), { recursive: true });
  const fd = openSync(path, 'a');
  try {
    if (!(await flock(fd, ['-n']))) {
      report('another process is setting this folder up; waiting for it');
      if (!(await flock(fd, ['-w', String(LOCK_TIMEOUT_S)]))) {
        throw new SetUpError(`the other process still holds ${path} after ${LOCK_TIMEOUT_S / 60} minutes`);
      }
    }
    return await body(fd);
  } finally {
    closeSync(fd);
  }
}

function flock(fd, flags) {
  return new Promise((resolve, reject) => {
    const child = spawn('flock', ['-x', ...flags, '3'], { stdio: ['ignore', 'ignore', 'inherit', fd] });
    child.once('error', () =>
      reject(new SetUpError('the program flock is needed for the set-up; it is part of util-linux')),
    );
    child.once('exit', (code) => resolve(code === 0));
  });
}

/** Runs a command of the set-up; says what and why, and how long it took. Its own output is shown only if it fails. */
export async function runStep(label, argv, cwd, lockFd) {
  const started = process.hrtime.bigint();
  const seconds = () => (Number(process.hrtime.bigint() - started) / 1e9).toFixed(1);
  const terminal = process.stderr.isTTY;
  const line = `hyperplug: ${label}`;
  let ticker;
  if (terminal) {
    const draw = () => process.stderr.write(`\r\x1b[K${line} … ${Math.floor(Number(seconds()))} s`);
    draw();
    ticker = setInterval(draw, 1_000);
  } else {
    process.stderr.write(`${line}\n`);
  }
  const outcome = await run(argv, cwd, lockFd);
  clearInterval(ticker);
  if (terminal) process.stderr.write(`\r\x1b[K${line}\n`);
  if (outcome.ok) {
    report(`  done in ${seconds()} s`);
    return;
  }
  process.stderr.write(outcome.tail === '' ? '' : `${outcome.tail.trimEnd()}\n`);
  throw new SetUpError(`set-up failed: ${argv.join(' ')}: ${outcome.how}`);
}

function run([file, ...args], cwd, lockFd) {
  return new Promise((resolve) => {
    const child = spawn(file, args, { cwd, stdio: ['ignore', 'pipe', 'pipe', lockFd], env: cleanEnvironment() });
    let tail = '';
    let timedOut = false;
    const keep = (chunk) => {
      tail = (tail + chunk).slice(-TAIL_CHARACTERS);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    const timer = setTimeout(() => {
      timedOut = true;
      child.kill('SIGKILL');
    }, STEP_TIMEOUT_MS);
    // Ctrl-C reaches the child by the terminal; a signal to us alone must not leave it behind.
    const passOn = (signal) => child.kill(signal);
    process.on('SIGTERM', passOn);
    process.on('SIGINT', passOn);
    const settle = (ok, how) => {
      clearTimeout(timer);
      process.off('SIGTERM', passOn);
      process.off('SIGINT', passOn);
      resolve({ ok, how, tail });
    };
    child.once('error', (error) => {
      settle(false, error.code === 'ENOENT' ? `${file} is not in PATH` : error.message);
    });
    child.once('close', (code, signal) => {
      const ended = signal ? `ended by ${signal}` : `exit code ${code}`;
      settle(code === 0, timedOut ? `not done after ${STEP_TIMEOUT_MS / 60_000} minutes` : ended);
    });
  });
}

/** Without what an npm above us would have this one inherit: under `npm test` those name npm's own paths and settings. */
function cleanEnvironment() {
  const env = { ...process.env };
  for (const name of ['npm_config_prefix', 'npm_config_local_prefix', 'npm_config_global', 'NODE_ENV'])
    delete env[name];
  return env;
}
