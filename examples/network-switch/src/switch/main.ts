// The switch of one network: node main.js DIRECTORY SETTINGS. Started under flock(1), so that there is one of each. It
// answers requests, one JSON line each, on DIRECTORY/control.sock, and outlives whoever started it.
import { rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { Fabric } from './fabric.js';

const MAX_REQUEST_CHARACTERS = 4096;
const PORT_NAME = /^[a-f0-9]{8,64}$/;

const [directory, settings] = process.argv.slice(2) as [string, string];
process.umask(0o077);
const fabric = new Fabric(directory, JSON.parse(settings) as { gateway: string; isolated: boolean });
const control = join(directory, 'control.sock');

async function answer(line: string): Promise<unknown> {
  const { do: what, port = '' } = JSON.parse(line) as { do: string; port?: string };
  if (what === 'status') return { pid: process.pid, ...fabric.settings, ports: fabric.ports };
  if (what === 'stop') {
    fabric.close();
    rmSync(control, { force: true });
    setImmediate(() => process.exit(0));
    return null;
  }
  if (!PORT_NAME.test(port)) throw new Error(`port: expected hexadecimal digits, got ${JSON.stringify(port)}`);
  if (what === 'add') return fabric.add(port);
  if (what !== 'remove') throw new Error(`do: expected status, stop, add or remove, got ${JSON.stringify(what)}`);
  fabric.remove(port);
  return null;
}

const server = createServer((socket) => {
  let text = '';
  socket.setEncoding('utf8');
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk: string) => {
    text += chunk;
    if (text.length > MAX_REQUEST_CHARACTERS) socket.destroy();
    if (!text.endsWith('\n')) return;
    answer(text).then(
      (ok) => socket.end(`${JSON.stringify({ ok })}\n`),
      (error: unknown) => socket.end(`${JSON.stringify({ error: String(error) })}\n`),
    );
  });
});
// We hold the lock: a socket that is there is of one that was killed.
rmSync(control, { force: true });
server.listen(control);
