/** Compiled by test/unit/types.test.ts, never run: what the compiler says of the SDK is part of it. */
import type { GuestProcess, Hyperplug, JsonValue, Pod, PodDetails, PodEvent, PodNic } from '../../src/index.js';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <_A, _B>(..._: Equal<_A, _B> extends true ? [] : ['the types differ']): void => {};

export async function commands(pod: Pod): Promise<void> {
  const text = await pod.exec(['ls']);
  same<typeof text.stdout, string>();
  same<typeof text.exitCode, number | undefined>();
  const bytes = await pod.exec(['ls'], { encoding: 'buffer' });
  same<typeof bytes.stdout, Buffer>();
  const lines = await pod.exec(['ls'], { lines: true, timeoutMs: 5 });
  same<typeof lines.stderr, readonly string[]>();
  const both = await pod.exec(['ls']).pipe(pod.exec(['wc'], { encoding: 'buffer' }));
  same<typeof both.stdout, Buffer>();
  for await (const line of pod.exec(['ls'])) same<typeof line, string>();
  for await (const piece of pod.exec(['ls']).iterable({ binary: true })) same<typeof piece, Buffer>();
  const low = await pod.spawn({ argv: ['ls'] });
  same<typeof low, GuestProcess>();
  // @ts-expect-error a command is a list of words, no shell's line
  pod.exec('ls -l');
  // @ts-expect-error it is called timeoutMs
  pod.exec(['ls'], { timeout: 5 });
  // @ts-expect-error there is no such signal
  pod.exec(['ls'], { killSignal: 'SIGNOPE' });
}

export async function parts(pod: Pod, hp: Hyperplug): Promise<void> {
  const one = await pod.nics.add({ network: 'lab' });
  same<typeof one, PodNic>();
  const several = await pod.nics.add([{ network: 'lab' }, {}]);
  same<typeof several, readonly PodNic[]>();
  const content = await pod.files.read('/f');
  same<typeof content, Buffer>();
  const decoded = await pod.files.read('/f', { encoding: 'utf8' });
  same<typeof decoded, string>();
  const off = pod.on('nic-added', (event) => same<typeof event.type, 'nic-added'>());
  off();
  const exited = await pod.once('exited', { timeoutMs: 5 });
  same<typeof exited.data, Readonly<Record<string, JsonValue>>>();
  for await (const event of hp.pods.events()) same<typeof event, PodEvent>();
  const details = await hp.pods.start('web');
  same<typeof details, PodDetails>();
  // @ts-expect-error there is no such event
  pod.on('exploded', () => {});
  await using scoped = await hp.createPod({});
  same<typeof scoped, Pod>();
}

export async function specifications(hp: Hyperplug): Promise<void> {
  await hp.createPod({ network: 'none', resource: { vcpu: 1 }, interfaces: [{ ifname: 'lo', ip: ['10.0.0.1'] }] });
  // @ts-expect-error it is called resource.memory
  await hp.createPod({ memory: 128 });
}
