import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { installSteps } from './steps.js';

/**
 * Run as a program: does one operation on a state, and is killed, or kills its VM, before a step of it. Reads its job from
 * standard input, so that it can be started before there is one.
 */
export interface Job {
  readonly configPath: string;
  readonly plugins: 'process' | 'configured';
  readonly operation: string;
  /** Before this step, counted from 1; undefined: nothing is killed, and all are told. */
  readonly at?: number;
  readonly victim: 'manager' | 'vm';
  /** Where the VM's pid stands, alone or as `process.pid` of JSON. */
  readonly pidFile: string;
}

export interface Outcome {
  /** What each was about. */
  readonly steps: readonly string[];
  readonly error?: string;
}

const steps = installSteps();
const { createHyperplug } = await import('../../../src/hyperplug.js');
const { fakeAgent, processHypervisor } = await import('./process-hypervisor.js');
const { OPERATIONS } = await import('./operations.js');
await import('../../../src/plugins/netlink/backend.js');

process.stdout.write('warm\n');
const [line] = (await once(process.stdin, 'data')) as [Buffer];
process.stdin.unref?.();
const job = JSON.parse(line.toString()) as Job;
const operation = OPERATIONS[job.operation];
if (!operation) throw new Error(`no operation ${job.operation}`);

const told: string[] = [];
let inside = false;
const onStep = (step: number, what: string): void => {
  if (inside) return;
  told.push(what);
  if (step !== job.at) return;
  inside = true;
  if (job.victim === 'manager') {
    process.kill(process.pid, 'SIGKILL');
    // Not one step more, should the signal take its time.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  }
  try {
    const content = JSON.parse(readFileSync(job.pidFile, 'utf8')) as number | { process: { pid: number } };
    process.kill(typeof content === 'number' ? content : content.process.pid, 'SIGKILL');
  } catch {
    // There is no VM yet, or no more.
  }
  inside = false;
};

let error: string | undefined;
const plugins = job.plugins === 'process' ? [processHypervisor, fakeAgent] : [];
const hyperplug = await createHyperplug({ configPath: job.configPath, plugins });
steps.begin(onStep);
try {
  await operation.run(hyperplug);
  await hyperplug.close();
} catch (cause) {
  error = cause instanceof Error ? `${(cause as { code?: string }).code}: ${cause.message}` : String(cause);
  await hyperplug.close().catch(() => {});
}
steps.end();
process.stdout.write(
  `${JSON.stringify({ steps: told, ...(error !== undefined && { error }) } satisfies Outcome)}\n`,
  () => process.exit(0),
);
