import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createConnection, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';

const SOURCE = fileURLToPath(new URL('../../../guest/agent', import.meta.url));
const START_MS = 20_000;

let built: { readonly directory: string; readonly path: string } | undefined;

/** What running the agent on this machine takes, for requireOrSkip. */
export async function agentNeeds(): Promise<[ok: boolean, reason: string]> {
  if (process.getuid?.() !== 0) return [false, 'it makes network namespaces: root only'];
  if (!existsSync(join(SOURCE, 'main.c'))) return [false, 'the sources of the agent are not there'];
  for (const argv of [
    ['gcc', '--version'],
    ['make', '--version'],
    ['unshare', '--net', 'true'],
    ['ip', '-V'],
  ]) {
    const { failed } = await execa(argv[0]!, argv.slice(1), { reject: false });
    if (failed) return [false, `${argv.join(' ')} does not work`];
  }
  return [true, ''];
}

/** The agent of this package as a program of the host, in network, UTS and mount namespaces of its own. */
export class AgentProgram {
  /** Sockets of the conversation begun last. */
  open: Socket[] = [];
  readonly exited: Promise<unknown>;
  #stderr = '';

  private constructor(
    readonly child: ChildProcess,
    /** Of this agent alone; gone after stop(). */
    readonly directory: string,
  ) {
    this.exited = once(child, 'exit');
    child.stderr?.on('data', (chunk) => {
      this.#stderr = `${this.#stderr}${chunk}`.slice(-8192);
    });
  }

  /** With sanitizers, so that what goes wrong in it is seen. */
  static async build(): Promise<void> {
    const directory = await mkdtemp(join(tmpdir(), 'hyperplug-agent-'));
    await execa('make', ['-C', SOURCE, 'host', `OUT=${directory}`], { timeout: 120_000 });
    built = { directory, path: join(directory, 'agent-host') };
  }

  static async remove(): Promise<void> {
    if (built) await rm(built.directory, { recursive: true });
    built = undefined;
  }

  static async start(): Promise<AgentProgram> {
    if (!built) throw new TypeError('AgentProgram.build() comes first');
    const directory = await mkdtemp(join(tmpdir(), 'hyperplug-agent-'));
    const argv = ['--net', '--uts', '--mount', '--fork', '--kill-child', '--pid', '--mount-proc', built.path];
    const root = join(directory, 'root');
    for (const part of ['etc', 'sys/devices/system/cpu', 'sys/devices/system/memory']) {
      await mkdir(join(root, part), { recursive: true });
    }
    const channels = ['--control', join(directory, 'control'), '--streams', join(directory, 'streams')];
    const child = spawn('unshare', [...argv, ...channels, '--root', root, '--own-uts'], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    return new AgentProgram(child, directory);
  }

  /** A NIC in the agent's network namespace. */
  async plug(mac: string, name: string, peer: string): Promise<void> {
    const link = ['ip', 'link', 'add', name, 'address', mac, 'type', 'veth', 'peer', 'name', peer];
    await execa('nsenter', ['--target', String(this.child.pid), '--net', ...link]);
  }

  /** Connects anew to both channels; the connections before are the caller's to end. */
  async channels(): Promise<Socket[]> {
    const deadline = Date.now() + START_MS;
    this.open = [];
    for (const name of ['control', 'streams'])
      this.open.push(await this.#connect(join(this.directory, name), deadline));
    return this.open;
  }

  /** @throws when a sanitizer has complained. */
  async stop(): Promise<void> {
    for (const socket of this.open) socket.destroy();
    if (this.child.exitCode === null && this.child.signalCode === null) {
      this.child.kill('SIGKILL');
      await this.exited;
    }
    await rm(this.directory, { recursive: true });
    if (/Sanitizer|runtime error/.test(this.#stderr)) throw new Error(`the agent: ${this.#stderr}`);
  }

  async #connect(path: string, deadline: number): Promise<Socket> {
    for (;;) {
      const socket = createConnection(path);
      const connected = await Promise.race([
        once(socket, 'connect').then(() => true),
        once(socket, 'error').then(() => false),
      ]).catch(() => false);
      if (connected) return socket;
      socket.destroy();
      if (Date.now() > deadline || this.child.exitCode !== null) {
        throw new Error(`the agent does not listen at ${path}: ${this.#stderr}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}
