import { startDaemon } from './daemon.js';
import { FakeWorld } from './fake-world.js';

/** A daemon in a process of its own, on real bridges and rules of the namespace `argv[2]`. Says its socket; SIGTERM ends it. */
const world = new FakeWorld(process.argv[2]);
const { daemon, socketPath, log } = await startDaemon(world.root, await world.engine());
process.stdout.write(`${socketPath}\n`);
// Whoever started it may have died.
process.stdin.resume().once('end', () => process.kill(process.pid, 'SIGTERM'));
await new Promise((resolve) => process.once('SIGTERM', resolve));
await daemon.stop();
process.stdout.write(`${JSON.stringify({ loop: daemon.metrics.loopDelayMs(), leftovers: world.leftovers(), log })}\n`);
world.dispose();
process.exit(0);
