import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { VmSpec } from '../../src/core/hypervisor.js';

const MANAGER = fileURLToPath(new URL('./qemu-manager.js', import.meta.url));

/** qemu-manager.ts in processes of their own. */
export class Managers {
  readonly #running: ChildProcess[] = [];

  constructor(private readonly directory: string) {}

  /** Its lines come in order. */
  start(spec: VmSpec) {
    const file = join(this.directory, `${spec.id}.json`);
    writeFileSync(file, JSON.stringify(spec));
    const manager = spawn(process.execPath, [MANAGER, file], { stdio: ['ignore', 'pipe', 'inherit'] });
    this.#running.push(manager);
    return { manager, lines: createInterface({ input: manager.stdout })[Symbol.asyncIterator]() };
  }

  async kill(manager: ChildProcess): Promise<void> {
    if (manager.exitCode !== null || manager.signalCode !== null) return;
    manager.kill('SIGKILL');
    await once(manager, 'exit');
  }

  async killAll(): Promise<void> {
    for (const manager of this.#running.splice(0)) await this.kill(manager);
  }
}
