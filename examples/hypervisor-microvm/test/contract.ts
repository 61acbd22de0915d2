import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { HypervisorVm } from 'hyperplug';
import { type ContractRunner, hypervisorContract } from 'hyperplug/testing';
import { capabilities } from '../src/capabilities.js';
import { MicrovmDriver } from '../src/driver.js';
import { options } from '../src/options.js';
import type { RunningVm } from '../src/vm.js';
import { writeGuest } from './guest.js';

export function contractTests(runner: ContractRunner): void {
  const directory = mkdtempSync(join(tmpdir(), 'microvm-'));
  runner.after(() => rmSync(directory, { recursive: true, force: true }));
  const files = writeGuest(directory);
  const qmp = (vm: HypervisorVm) => (vm as RunningVm).parts.qmp;
  let broken = false;
  const driver = () =>
    new MicrovmDriver({
      ...options.parse({}),
      // Read once for each launch.
      get cpuModel() {
        const model = broken ? 'no-such-cpu' : 'max';
        broken = false;
        return model;
      },
    });
  const contract = {
    runner,
    capabilities,
    create: driver,
    inject: {
      launch() {
        broken = true;
      },
    },
    spec: { cpus: 1, memoryMib: 32, ...files, kernelArgs: [], channels: ['control', 'streams'] },
    guest: {
      answersPowerButton: true,
      async powerOff(vm: HypervisorVm) {
        await qmp(vm).execute('system_powerdown', {}, { signal: AbortSignal.timeout(10_000) });
      },
    },
  };
  hypervisorContract({ ...contract, label: 'microvm' });
  let serial = 0;
  hypervisorContract({
    ...contract,
    label: 'microvm-on-stream-sockets',
    endpoint: async () => {
      const path = join(directory, `nic-${++serial}.sock`);
      const server = createServer((frames) => void frames.on('error', () => {}).resume());
      await new Promise<void>((resolve) => server.listen(path, resolve));
      return { endpoint: { kind: 'stream', path }, release: () => void server.close() };
    },
  });
}
