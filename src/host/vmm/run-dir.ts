import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { link, mkdir, readdir, readFile, rename, rm, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fieldError, HyperplugError } from '../../core/errors.js';
import type { ProcessIdentity, VmTrace } from '../../core/hypervisor.js';
import { identifyProcess, ownIdentity, processArgv, sameProcess } from '../process.js';
import type { VmFile } from './vm-file.js';

/** sun_path of unix(7), less its terminating zero. */
const MAX_SOCKET_PATH_BYTES = 107;

const MORE_LOOKS = 3;
const LOOK_EVERY_MS = 10;

/** How a process of a driver tells by its arguments whose it is. */
export interface ProcessMarker {
  /** `hyperplug ID RUNDIR`; undefined: not one of this driver's. */
  markerOf(argv: readonly string[]): string | undefined;
}

/**
 * What every driver has in VmSpec.runDir; each adds its own below `s`:
 *
 *     vm.json       whose it is; readable by us alone
 *     stderr        of a detached hypervisor
 *     s/            belongs to the user the hypervisor runs as
 */
export abstract class RunDir {
  readonly vmFile: string;
  readonly stderrFile: string;
  readonly sockets: string;

  constructor(
    readonly path: string,
    private readonly marking: ProcessMarker,
  ) {
    this.vmFile = join(path, 'vm.json');
    this.stderrFile = join(path, 'stderr');
    this.sockets = join(path, 's');
  }

  /** The longest path of a socket below it. */
  abstract readonly longestSocket: string;

  /** @throws VM_SPEC_INVALID when a socket's path would be too long for the kernel. */
  checkLength(): void {
    const bytes = Buffer.byteLength(this.longestSocket);
    if (bytes <= MAX_SOCKET_PATH_BYTES) return;
    const room = MAX_SOCKET_PATH_BYTES - (bytes - Buffer.byteLength(this.path));
    throw fieldError('VM_SPEC_INVALID', 'runDir', `a path of at most ${room} bytes (sockets lie below it)`, this.path);
  }

  /** By it findProcess() knows the hypervisor; it stands among the process's arguments. */
  marker(id: string): string {
    return `hyperplug ${id} ${this.path}`;
  }

  /**
   * Takes the directory for a launch; what a dead launch left there is removed.
   * @throws VM_ALREADY_EXISTS a VM runs or is being launched there; it is untouched.
   */
  async claim(id: string): Promise<void> {
    const content: VmFile = { version: 1, id, launcher: ownIdentity() };
    for (let attempt = 0; attempt < 3; attempt++) {
      // A link is made with its content in place or not at all.
      const draft = await this.#draft(content);
      try {
        await link(draft, this.vmFile);
        // To look through all processes takes longer than all the rest: none was ever started here without its sockets' place.
        const running = existsSync(this.sockets) ? this.findProcess() : undefined;
        if (running === undefined) return;
        await unlink(this.vmFile);
        throw this.#busy(id, running.pid);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      } finally {
        await unlink(draft);
      }
      const holder = await this.holder();
      if (holder) throw this.#busy(id, holder.pid);
      await this.removeFiles();
    }
    throw this.#busy(id, undefined);
  }

  async recordProcess(id: string, process: ProcessIdentity): Promise<void> {
    await rename(await this.#draft({ version: 1, id, launcher: ownIdentity(), process }), this.vmFile);
  }

  /** The VM that runs here, or the manager that is launching one. */
  async holder(): Promise<ProcessIdentity | undefined> {
    const file = await this.#read();
    if (file?.process && sameProcess(file.process)) return file.process;
    const found = this.findProcess();
    if (found) return found;
    return file && !file.process && sameProcess(file.launcher) ? file.launcher : undefined;
  }

  /** The VM that runs here, by its file or, where its manager died before writing that, by its command line. */
  async runningProcess(): Promise<ProcessIdentity | undefined> {
    const file = await this.#read();
    if (file?.process && sameProcess(file.process)) return file.process;
    let found = this.findProcess();
    // Of one that was being started when its manager died: in the midst of execve(2) a process shows no arguments.
    for (let look = 0; file && !file.process && !found && look < MORE_LOOKS; look++) {
      await delay(LOOK_EVERY_MS);
      found = this.findProcess();
    }
    return found;
  }

  /** A process that was started with our marker for this directory. */
  findProcess(): ProcessIdentity | undefined {
    for (const { pid, marker } of markedProcesses(this.marking)) {
      if (marker.endsWith(` ${this.path}`)) return identifyProcess(pid);
    }
    return undefined;
  }

  async makeSocketDir(): Promise<void> {
    await mkdir(this.sockets, { mode: 0o700 });
  }

  /** Idempotent. */
  async removeFiles(): Promise<void> {
    await rm(this.sockets, { recursive: true, force: true });
    await rm(this.stderrFile, { force: true });
    const own = this.ownFiles();
    const names = (await readdir(this.path).catch(() => [])).filter(
      (name) => name.startsWith('vm.json.') || own.test(name),
    );
    for (const name of names) await rm(join(this.path, name), { force: true });
    // Last: as long as it is there, what is left has an owner.
    await rm(this.vmFile, { force: true });
  }

  /** Names of what a driver has beside `s`. */
  protected ownFiles(): RegExp {
    return /(?!)/;
  }

  async #draft(content: VmFile): Promise<string> {
    const path = `${this.vmFile}.${randomBytes(6).toString('hex')}`;
    await writeFile(path, JSON.stringify(content), { mode: 0o600, flag: 'wx' });
    return path;
  }

  async #read(): Promise<VmFile | undefined> {
    const text = await readFile(this.vmFile, 'utf8').catch(() => undefined);
    if (text === undefined) return undefined;
    // A launch has no need of what reads it.
    const { parseVmFile } = await import('./vm-file.js');
    return parseVmFile(text);
  }

  #busy(id: string, pid: number | undefined): HyperplugError {
    const who = pid === undefined ? '' : ` (process ${pid})`;
    return new HyperplugError('VM_ALREADY_EXISTS', `VM ${id}: ${this.path} is in use${who}`, {
      details: { id, runDir: this.path, pid },
    });
  }
}

/** Every process that bears a marker of ours, whosever it is. */
export function* markedProcesses({ markerOf }: ProcessMarker): Generator<{
  readonly pid: number;
  readonly marker: string;
}> {
  for (const pid of processIds()) {
    const argv = processArgv(pid);
    const marker = argv && markerOf(argv);
    if (marker?.startsWith('hyperplug ')) yield { pid, marker };
  }
}

/** Every process of a driver with the run directory it names, as HypervisorDriver.traces() tells them. */
export function tracesOf(marking: ProcessMarker): readonly VmTrace[] {
  return [...markedProcesses(marking)].flatMap(({ pid, marker }) => {
    const process = identifyProcess(pid);
    // hyperplug, the id, then the directory, which may hold blanks.
    const runDir = /^hyperplug \S+ (\/.*)$/s.exec(marker)?.[1];
    return process && runDir !== undefined ? [{ process, runDir }] : [];
  });
}

export function processIds(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}
