import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';

/** The command line, as in a clone. */
export const HYPERPLUG = fileURLToPath(new URL('../../../hyperplug', import.meta.url));

export interface FirstByte {
  /** What its output must hold to count. */
  readonly word?: string;
  /** A unix socket to listen on instead: the first byte of whoever connects counts. */
  readonly socketPath?: string;
  /** It goes on for ever: it is killed when it was heard. */
  readonly endless?: boolean;
  readonly timeoutMs: number;
}

/** Milliseconds from the spawn to the first byte; the program is awaited to its end, whose tear-down is nobody's time. */
export async function untilFirstByte(command: string, args: readonly string[], options: FirstByte): Promise<number> {
  const { word = '', socketPath, endless = false, timeoutMs } = options;
  const server = socketPath === undefined ? undefined : createServer();
  if (server) await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  try {
    return await new Promise((resolve, reject) => {
      const started = process.hrtime.bigint();
      const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'ignore'] });
      const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
      let elapsed: number | undefined;
      const heard = () => {
        elapsed ??= Number(process.hrtime.bigint() - started) / 1e6;
        if (endless) child.kill('SIGKILL');
      };
      server?.on('connection', (socket) => socket.once('data', heard).on('error', () => {}));
      child.stdout.on('data', (chunk: Buffer) => {
        if (!server && chunk.includes(word)) heard();
      });
      child.once('error', reject);
      child.once('close', () => {
        clearTimeout(timer);
        if (elapsed === undefined) reject(new Error(`${command} ended without its output`));
        else resolve(elapsed);
      });
    });
  } finally {
    server?.close();
  }
}
