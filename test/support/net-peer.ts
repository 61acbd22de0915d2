import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, createServer, isIPv6 } from 'node:net';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { TestNamespace } from './netns.js';

/** Run as a program: programs of a test network, which talk over tcp and udp in a namespace. */
const self = fileURLToPath(import.meta.url);
const ANSWER_MS = 1_500;

/** What a server saw: its label, the client's address, its own port. */
export interface Answer {
  readonly label: string;
  readonly from: string;
  readonly port: number;
}

/** `tcp/192.0.2.1/80`. Resolves to the server's answer, or to `refused`, `unreachable` or `silence`. */
export async function ask(namespace: TestNamespace, ...targets: string[]): Promise<(Answer | string)[]> {
  const args = ['netns', 'exec', namespace.name, process.execPath, self, 'ask', ...targets];
  const { stdout } = await promisify(execFile)('ip', args, { timeout: 60_000 });
  return JSON.parse(stdout);
}

export class Server {
  private constructor(private readonly child: ChildProcess) {}

  /** Answers on these ports, tcp and udp, of all addresses. */
  static async start(namespace: TestNamespace, label: string, ports: readonly number[]): Promise<Server> {
    const args = ['netns', 'exec', namespace.name, process.execPath, self, 'serve', label, ...ports.map(String)];
    const child = spawn('ip', args, { stdio: ['ignore', 'pipe', 'inherit'] });
    const [line] = await Promise.race([
      once(child.stdout, 'data'),
      once(child, 'exit').then(() => Promise.reject(new Error(`server ${label} ended`))),
    ]);
    if (!String(line).startsWith('ready')) throw new Error(`server ${label}: ${line}`);
    return new Server(child);
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null) return;
    this.child.kill();
    await once(this.child, 'exit');
  }
}

const plain = (address: string | undefined) => (address ?? '').replace(/^::ffff:/, '');

async function serve(label: string, ports: readonly number[]): Promise<void> {
  for (const port of ports) {
    const answer = (from: string | undefined) => JSON.stringify({ label, from: plain(from), port });
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.end(answer(socket.remoteAddress));
    });
    server.listen({ port, host: '::' });
    const datagrams = createSocket('udp6');
    datagrams.on('message', (_, { address, port: to }) => datagrams.send(answer(address), to, address));
    datagrams.bind(port, '::');
    await Promise.all([once(server, 'listening'), once(datagrams, 'listening')]);
  }
  process.stdout.write('ready\n');
}

function askTcp(host: string, port: number): Promise<Answer | string> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const timer = setTimeout(() => done('silence'), ANSWER_MS);
    const done = (result: Answer | string) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(result);
    };
    socket.on('data', (data) => done(JSON.parse(String(data))));
    socket.on('error', (error: NodeJS.ErrnoException) =>
      done(error.code === 'ECONNREFUSED' ? 'refused' : 'unreachable'),
    );
  });
}

function askUdp(host: string, port: number, from = 0): Promise<Answer | string> {
  return new Promise((resolve) => {
    const socket = createSocket(isIPv6(host) ? 'udp6' : 'udp4');
    const done = (result: Answer | string) => {
      clearTimeout(timer);
      socket.close();
      resolve(result);
    };
    const timer = setTimeout(() => done('silence'), ANSWER_MS);
    socket.on('message', (data) => done(JSON.parse(String(data))));
    socket.on('error', () => done('refused'));
    // Connected, so that ICMP errors are told.
    socket.bind(from, () => {
      socket.connect(port, host, () => socket.send('?'));
    });
  });
}

if (process.argv[1] === self) {
  const [what, ...args] = process.argv.slice(2);
  if (what === 'serve') await serve(args[0] ?? '', args.slice(1).map(Number));
  if (what === 'ask') {
    const answers = args.map((target) => {
      const [protocol, host = '', port, from] = target.split('/');
      return protocol === 'tcp' ? askTcp(host, Number(port)) : askUdp(host, Number(port), Number(from ?? 0));
    });
    process.stdout.write(JSON.stringify(await Promise.all(answers)));
  }
}
