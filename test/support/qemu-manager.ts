import { readFileSync } from 'node:fs';
import type { VmSpec } from '../../src/core/hypervisor.js';
import { silentProgress } from '../../src/core/progress.js';
import { pathTools } from '../../src/host/path-tools.js';
import { QemuDriver } from '../../src/plugins/qemu/driver.js';
import { qemuOptions } from '../../src/plugins/qemu/options.js';

/** A manager of its own process: launches the VM of argv[2] (a file), says so, saves the source of a template, and stays until it is killed. */
const spec = JSON.parse(readFileSync(process.argv[2] as string, 'utf8')) as VmSpec;
const driver = new QemuDriver(qemuOptions.parse({ acceleration: 'tcg' }), {
  tools: pathTools,
  progress: silentProgress,
  log: { debug() {}, info() {}, warn() {}, error() {} },
  paths: undefined,
});
process.stdout.write('launching\n');
const vm = await driver.launch(spec, { signal: AbortSignal.timeout(60_000) });
process.stdout.write(`${JSON.stringify(vm.record())}\n`);
if (spec.template?.role === 'source') await vm.saveTemplate({ signal: AbortSignal.timeout(60_000) });
await vm.exited;
