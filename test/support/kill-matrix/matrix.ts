import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { GcReport } from '../../../src/core/gc/types.js';
import type { Hyperplug } from '../../../src/core/pod/types.js';
import { createHyperplug } from '../../../src/hyperplug.js';
import { elfKernel } from '../../unit/guest/image/synthetic-kernel.js';
import { bundled } from '../bundled.js';
import { TestNamespace } from '../netns.js';
import { processesNaming } from '../sandbox.js';
import { inconsistencies } from './consistency.js';
import { OPERATIONS, POD, repeat } from './operations.js';
import { fakeAgent, processHypervisor } from './process-hypervisor.js';
import { OWNER_VARIABLE } from './vmm-owner.js';
import type { Job, Outcome } from './worker.js';

process.env[OWNER_VARIABLE] = String(process.pid);
const PROGRAM = fileURLToPath(new URL('./worker.js', import.meta.url));
const WORKER_TIMEOUT_MS = 60_000;

/** A worker that has loaded everything and waits for its job. */
class Worker {
  readonly child: ChildProcess;
  readonly #warm: Promise<unknown>;
  readonly #closed: Promise<[code: number | null, signal: string | null]>;
  #output = '';
  #errors = '';

  static async start(): Promise<Worker> {
    return new Worker(await bundled(PROGRAM));
  }

  private constructor(program: string) {
    this.child = spawn(process.execPath, [program], { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#closed = new Promise((resolve) => this.child.once('close', (code, signal) => resolve([code, signal])));
    this.#warm = Promise.race([once(this.child.stdout as NonNullable<ChildProcess['stdout']>, 'data'), this.#closed]);
    this.child.stdout?.on('data', (chunk: Buffer) => {
      this.#output += chunk;
    });
    this.child.stderr?.on('data', (chunk: Buffer) => {
      this.#errors += chunk;
    });
    this.child.stdin?.on('error', () => {});
  }

  /** undefined: it was killed. */
  async run(job: Job): Promise<Outcome | undefined> {
    await this.#warm;
    const timer = setTimeout(() => this.child.kill('SIGTERM'), WORKER_TIMEOUT_MS);
    this.child.stdin?.write(`${JSON.stringify(job)}\n`);
    const [code, signal] = await this.#closed;
    clearTimeout(timer);
    if (signal === 'SIGKILL') return undefined;
    const last = this.#output.trim().split('\n').at(-1) ?? '';
    if (code !== 0 || last === 'warm') throw new Error(`worker: ${code ?? signal}: ${this.#errors || last}`);
    return JSON.parse(last) as Outcome;
  }

  end(): void {
    this.child.kill('SIGKILL');
  }
}

export interface Case {
  readonly operation: string;
  readonly at: number;
  readonly victim: Job['victim'];
}

/** A namespace, a state and a configuration in which processes are killed, one after the other. */
export class KillMatrix {
  readonly namespace: TestNamespace;
  readonly #ownNamespace: boolean;
  readonly root = mkdtempSync(join(tmpdir(), 'hpk-'));
  readonly configPath = join(this.root, 'hyperplug.json');
  #next: Worker | undefined;
  /** What looked after the last case; it prepares the next one. */
  #last: Hyperplug | undefined;

  /**
   * @param beside another state directory in the same namespace, with networks of its own.
   * @param hypervisor real VMs and the real agent; default: processes with a guest in memory.
   */
  constructor(
    beside?: KillMatrix,
    readonly hypervisor?: 'qemu' | 'uml',
  ) {
    this.#ownNamespace = beside === undefined;
    this.namespace = beside?.namespace ?? new TestNamespace();
    const netns = this.namespace.path;
    // Debian's User Mode Linux has no IPv6.
    const ipv6 = hypervisor === 'uml' ? [] : ['fd00:123::/64'];
    // QEMU may run as a user of its own; each directory below is closed by itself.
    chmodSync(this.root, 0o711);
    mkdirSync(join(this.root, 'image'));
    writeFileSync(join(this.root, 'image/kernel'), elfKernel({ pvh: true }));
    writeFileSync(join(this.root, 'image/initramfs'), '070701');
    const config = {
      paths: {
        stateDirectory: join(this.root, 'state'),
        runtimeDirectory: join(this.root, 'run'),
        ...(!hypervisor && { cacheDirectory: join(this.root, 'cache') }),
      },
      ...(hypervisor
        ? { hypervisor: { driver: hypervisor, qemu: { acceleration: 'tcg' } } }
        : {
            guest: { kernel: join(this.root, 'image/kernel'), initramfs: join(this.root, 'image/initramfs') },
            hypervisor: { driver: 'process' },
            agent: { driver: 'fake' },
          }),
      network: {
        backend: 'netlink',
        netlink: { netns },
        networks: {
          default: {
            subnets: beside ? ['192.168.124.0/24'] : ['192.168.123.0/24', ...ipv6],
            ...(beside && { bridge: 'hyper-2' }),
          },
          back: {
            subnets: beside ? ['10.92.0.0/24'] : ['10.91.0.0/24'],
            isolated: true,
            ...(beside && { bridge: 'hyper-back-2' }),
          },
        },
      },
      firewall: { driver: 'iptables', iptables: { netns } },
    };
    writeFileSync(this.configPath, JSON.stringify(config));
  }

  open(): Promise<Hyperplug> {
    const plugins = this.hypervisor ? [] : [processHypervisor, fakeAgent];
    return createHyperplug({ configPath: this.configPath, plugins });
  }

  /** The steps of an operation, by doing it once unharmed. */
  async count(operation: string): Promise<readonly string[]> {
    await this.#before(operation);
    const outcome = await this.#work({ operation, victim: 'manager' });
    if (!outcome || outcome.error !== undefined) throw new Error(`${operation}, unharmed: ${outcome?.error}`);
    await this.#check(operation, 'unharmed');
    return outcome.steps;
  }

  /**
   * Kills at that step, collects garbage in a process that knows nothing of it, and looks at what is left. Resolves with
   * what was about to be done then; undefined: the manager was killed.
   */
  async run({ operation, at, victim }: Case): Promise<string | undefined> {
    const what = `${operation}, ${victim} killed at step ${at}`;
    await this.#before(operation);
    const outcome = await this.#work({ operation, at, victim });
    const words = outcome && `${outcome.steps[at - 1] ?? 'none'}; the call said: ${outcome.error ?? 'success'}`;
    await this.#check(operation, `${what}${words ? ` (${words})` : ''}`);
    return words;
  }

  async #before(operation: string): Promise<void> {
    await using hyperplug = this.#last ?? (await this.open());
    this.#last = undefined;
    await OPERATIONS[operation]?.before(hyperplug);
  }

  async #work(job: Pick<Job, 'operation' | 'at' | 'victim'>): Promise<Outcome | undefined> {
    const worker = this.#next ?? (await Worker.start());
    // The next one loads its modules meanwhile.
    this.#next = await Worker.start();
    const pidFile = join(this.root, 'run/pods', POD, this.hypervisor ? 'vm.json' : 'vm.pid');
    const plugins = this.hypervisor ? 'configured' : 'process';
    return worker.run({ configPath: this.configPath, plugins, pidFile, ...job });
  }

  async #check(operation: string, what: string): Promise<void> {
    const doing = OPERATIONS[operation] as (typeof OPERATIONS)[string];
    const hyperplug = await this.open();
    this.#last = hyperplug;
    const report = await hyperplug.gc();
    const said = () => `gc did: ${summary(report) || 'nothing'}`;
    if (report.findings.some(({ action }) => action === 'failed')) throw new Error(`${what}: ${said()}`);
    const wrong = await inconsistencies(this, hyperplug);
    if (wrong.length > 0) throw new Error(`${what}: after gc: ${wrong.join('; ')}; ${said()}`);
    const again = await hyperplug.gc();
    if (again.findings.some(({ action }) => action !== 'kept')) {
      throw new Error(`${what}: a second gc did: ${summary(again)}; the first: ${summary(report)}`);
    }
    const [pod] = await hyperplug.listPods();
    const has = pod?.state === 'running' ? pod.nics.map(({ id }) => id).sort() : null;
    const runs = doing.nics.some((each) => JSON.stringify(each && [...each].sort()) === JSON.stringify(has));
    const ended = has === null && what.includes('vm killed');
    if (!runs && !ended)
      throw new Error(`${what}: the pod has NICs ${has?.join(', ') ?? '(none: it is gone)'}; ${said()}`);
    if (has) {
      await using open = await hyperplug.openPod(POD);
      await open.exec(['true'], { timeoutMs: 20_000 });
    }
    if (has || doing.anyhow)
      await repeat(doing, hyperplug).catch((error: unknown) => {
        throw new Error(`${what}: again: ${error instanceof Error ? error.message : error}; ${said()}`);
      });
  }

  /** Everything goes; what is left then is told. */
  async dispose(): Promise<string[]> {
    this.#next?.end();
    const left: string[] = [];
    try {
      await this.#last?.close();
      await using hyperplug = await this.open();
      for (const { id } of await hyperplug.listPods()) await hyperplug.removePod(id, { force: true });
      await hyperplug.gc();
      await hyperplug.networks.teardown();
      left.push(...this.namespace.links().filter((name) => name !== 'lo'));
      const rules = this.namespace.savedRules().split('\n');
      left.push(...rules.filter((line) => /hyperplug|HYPER/.test(line)));
      for (const folder of ['run/pods', 'run/locks', 'state/pods']) {
        const path = join(this.root, folder);
        if (existsSync(path)) left.push(...readdirSync(path).map((name) => `${folder}/${name}`));
      }
      left.push(...processesNaming(this.root).map(({ command }) => command));
    } finally {
      for (const { pid } of processesNaming(this.root)) process.kill(pid, 'SIGKILL');
      if (this.#ownNamespace) this.namespace.delete();
      rmSync(this.root, { recursive: true, force: true });
    }
    return left;
  }
}

const summary = ({ findings }: GcReport) =>
  findings
    .map(({ action, kind, id, error }) => `${action} ${kind} ${id}${error ? ` (${error.message})` : ''}`)
    .join(', ');
