import { startDaemon } from './daemon.js';
import { FakeWorld } from './fake-world.js';

/** A daemon in a process of its own, on real bridges and rules of the namespace `argv[2]`. Says its socket; SIGTERM ends it. */
const world = new FakeWorld(process.argv[2]);
const { daemon, socketPath, log } = await startDaemon(world.root, await world.engine({ serves: true }));
// Its start is not what is looked at.
daemon.metrics.resetLoop();
process.stdout.write(`${socketPath}\n`);
/** Of what makes the loop late, our own part: CPU time of this process from one look to the next, its other threads' too. */
const busyMs: number[] = [];
let seen = process.cpuUsage();
const sampler = setInterval(() => {
  const { user, system } = process.cpuUsage(seen);
  seen = process.cpuUsage();
  busyMs.push((user + system) / 1000);
}, 2);
// Whoever started it may have died.
process.stdin.resume().once('end', () => process.kill(process.pid, 'SIGTERM'));
await new Promise((resolve) => process.once('SIGTERM', resolve));
const loop = daemon.metrics.loopDelayMs();
clearInterval(sampler);
const busyP99Ms = busyMs.sort((a, b) => a - b)[Math.floor(busyMs.length * 0.99)] ?? 0;
await daemon.stop();
process.stdout.write(`${JSON.stringify({ loop, busyP99Ms, leftovers: world.leftovers(), log })}\n`);
world.dispose();
process.exit(0);
