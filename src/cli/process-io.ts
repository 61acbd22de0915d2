import { fstatSync, readFileSync } from 'node:fs';
import { isatty } from 'node:tty';
import type { TerminalSize } from '../core/agent.js';
import { passOutputUnchanged } from '../host/terminal.js';
import type { Io, StdinKind } from './deps.js';
import { Output } from './output.js';

/** The edge of this very process. */
export function processIo(): Io {
  return {
    env: process.env,
    stdout: new Output('standard output', process.stdout, process.stdout.isTTY === true),
    stderr: new Output('standard error', process.stderr, process.stderr.isTTY === true),
    stdinKind,
    stdin: () => process.stdin,
    setRawMode(on) {
      process.stdin.setRawMode(on);
      if (on) passOutputUnchanged(process.stdin.fd);
    },
    terminalSize,
    onSignal(signal, listener) {
      process.on(signal, listener);
      return () => void process.off(signal, listener);
    },
    suspend: () => void process.kill(process.pid, 'SIGSTOP'),
    exitNow: (code) => process.exit(code),
  };
}

function stdinKind(): StdinKind {
  if (isatty(0)) return 'terminal';
  if (!fstatSync(0).isFile()) return 'stream';
  // proc(5): `pos` is the offset that is shared with whoever else has this file open by the same descriptor.
  const position = /^pos:\s*(\d+)$/m.exec(readFileSync('/proc/self/fdinfo/0', 'utf8'))?.[1];
  return position === '0' ? 'file' : 'file-begun';
}

function terminalSize(): TerminalSize | undefined {
  for (const stream of [process.stdout, process.stderr]) {
    if (!stream.isTTY) continue;
    const [columns, rows] = stream.getWindowSize();
    // A terminal of unknown size says 0.
    if (columns > 0 && rows > 0) return { rows, columns };
  }
  return undefined;
}
