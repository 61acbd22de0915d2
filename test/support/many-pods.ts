import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { connectHyperplug } from '../../src/client/index.js';
import type { Hyperplug, Pod, PodStatus } from '../../src/core/pod/types.js';

const PROGRAM = fileURLToPath(new URL('./daemon-world.js', import.meta.url));

export interface DaemonReport {
  readonly loop: { readonly p50: number; readonly p99: number; readonly max: number };
  /** CPU time of the process between two looks of the loop at the clock, which on a busy machine is the part that is ours. */
  readonly busyP99Ms: number;
  readonly leftovers: readonly string[];
  readonly log: readonly unknown[];
}

export interface DaemonProcess {
  readonly socketPath: string;
  /** Resident memory, now. */
  rssMib(): number;
  /** Ends it in good order. */
  stop(): Promise<DaemonReport>;
}

export async function daemonProcess(netns: string): Promise<DaemonProcess> {
  const child = spawn(process.execPath, [PROGRAM, netns], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const first = await lines.next();
  if (first.done) throw new Error('the daemon ended without a word');
  return {
    socketPath: first.value,
    rssMib() {
      const [, pages] = readFileSync(`/proc/${child.pid}/statm`, 'latin1').split(' ');
      return (Number(pages) * 4096) / 2 ** 20;
    },
    async stop() {
      const closed = once(child, 'close');
      child.kill('SIGTERM');
      const { value } = await lines.next();
      await closed;
      return JSON.parse(value as string) as DaemonReport;
    },
  };
}

export interface ManyPods {
  /** While all of them ran. */
  readonly running: readonly PodStatus[];
  readonly createMs: number;
  readonly removeMs: number;
}

/** `count` pods, each with a published port, by so many clients at once; `meanwhile` is called while all of them run. */
export async function manyPods(
  socketPath: string,
  { count, clients }: { readonly count: number; readonly clients: number },
  meanwhile: (running: readonly PodStatus[]) => Promise<void> = async () => {},
): Promise<ManyPods> {
  const connected = await Promise.all(Array.from({ length: clients }, () => connectHyperplug({ socketPath })));
  try {
    const begun = performance.now();
    const pods = await Promise.all(connected.map((client, at) => share(client, at, { count, clients })));
    const created = performance.now();
    const running = await (connected[0] as Hyperplug).listPods();
    await meanwhile(running);
    const removing = performance.now();
    await Promise.all(
      pods.map(async (mine) => {
        for (const pod of mine) await pod.remove();
      }),
    );
    return { running, createMs: created - begun, removeMs: performance.now() - removing };
  } finally {
    await Promise.all(connected.map((client) => client.close()));
  }
}

async function share(
  client: Hyperplug,
  at: number,
  { count, clients }: { count: number; clients: number },
): Promise<Pod[]> {
  const pods: Pod[] = [];
  for (let number = at; number < count; number += clients) {
    const portmappings = [{ hostPort: 20_000 + number, containerPort: 80 }];
    const pod = await client.createPod(
      { id: `many-${number}`, keep: number % 2 === 0, portmappings },
      { timeoutMs: 120_000 },
    );
    await pod.exec(['true']);
    pods.push(pod);
  }
  return pods;
}
