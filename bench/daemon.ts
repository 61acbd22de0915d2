/**
 * Pods through the daemon, by eight clients at once, on real bridges, taps and rules in a namespace of their own; VMs and
 * guests are objects in the daemon's process. How late its event loop was is the daemon's own measurement.
 * `node dist/bench/daemon.js [PODS] [ROUNDS]`, as root.
 */

import { spawn } from 'node:child_process';
import { arch, cpus, loadavg, release } from 'node:os';
import { text } from 'node:stream/consumers';
import { daemonProcess, manyPods } from '../test/support/many-pods.js';
import { TestNamespace } from '../test/support/netns.js';

const count = Number(process.argv[2] ?? 50);
const rounds = Number(process.argv[3] ?? 3);
const clients = 8;
const load = loadavg()
  .map((value) => value.toFixed(1))
  .join(' ');
console.log(
  `${count} pods by ${clients} clients, ${cpus().length} × ${cpus()[0]?.model ?? arch()}, Linux ${release()}, Node ${process.version}, load ${load}`,
);
for (let round = 0; round < rounds; round++) {
  const namespace = new TestNamespace();
  try {
    const daemon = await daemonProcess(namespace.path);
    const idle = idleProcess();
    const { createMs, removeMs } = await manyPods(daemon.socketPath, { count, clients });
    const { loop, busyP99Ms, leftovers } = await daemon.stop();
    const idleP99Ms = await idle();
    const ms = (value: number) => value.toFixed(1);
    console.log(
      `  create ${ms(createMs / count)} ms a pod, remove ${ms(removeMs / count)} ms; event loop late: median ${ms(loop.p50)} ms, p99 ${ms(loop.p99)} ms, longest ${ms(loop.max)} ms; of p99 our own CPU time ${ms(busyP99Ms)} ms; an idle process beside it: p99 ${ms(idleP99Ms)} ms; left behind: ${leftovers.length}`,
    );
  } finally {
    namespace.delete();
  }
}

/** What this machine does to any process: one that only looks at the clock. */
function idleProcess(): () => Promise<number> {
  const script = `
    const histogram = require('node:perf_hooks').monitorEventLoopDelay({ resolution: 2 });
    histogram.enable();
    process.stdin.resume().once('end', () => console.log(Math.max(0, histogram.percentile(99) / 1e6 - 2)));
  `;
  const child = spawn(process.execPath, ['-e', script], { stdio: ['pipe', 'pipe', 'inherit'] });
  const said = text(child.stdout);
  return async () => {
    child.stdin.end();
    return Number(await said);
  };
}
