import { setTimeout as delay } from 'node:timers/promises';
import { buildImage } from '../src/hyperplug.js';
import type { Pod } from '../src/index.js';
import type { Comparison, Scenario } from './harness/scenario.js';
import { timed } from './harness/time.js';
import { BareGuest } from './support/bare-guest.js';
import { QEMU } from './support/bare-qemu.js';
import { BRIDGE, engineHere } from './support/engine.js';
import { Libvirt, LibvirtGuest, type LibvirtMachine } from './support/libvirt.js';
import { Pinger } from './support/ping.js';
import { TempDir } from './support/temp-dir.js';

/** A NIC is added and removed in each run; what is yielded are both times. */
interface Worked {
  readonly name: string;
  add(): Promise<string>;
  remove(): Promise<void>;
}

const VIRSH: readonly { readonly name: string; readonly machine: LibvirtMachine }[] = [
  { name: 'virsh attach-device, q35 with root ports as ours', machine: 'q35' },
  { name: 'virsh attach-device, the machine libvirt takes where none is named (pc)', machine: 'default' },
];

/** The guest is let come to rest. */
const REST_MS = 300;

const mac = (serial: number) => `52:54:00:be:00:${(serial & 0xff).toString(16).padStart(2, '0')}`;

function ours(pod: Pod): Worked {
  return {
    name: 'hyperplug',
    async add() {
      const [nic] = await pod.nics.add([{ id: 'hot', network: 'default', gateway: false }]);
      return nic?.addresses[0]?.address as string;
    },
    remove: () => pod.nics.remove('hot'),
  };
}

function byHand(name: string, guest: BareGuest | LibvirtGuest, first: number, signal: AbortSignal): Worked {
  let serial = first;
  return {
    name,
    async add() {
      const address = `192.168.123.${++serial}`;
      await guest.addNic(BRIDGE, mac(serial), address, signal);
      return address;
    },
    remove: () => guest.removeNic(),
  };
}

async function measure(worked: readonly Worked[], rounds: number, signal: AbortSignal) {
  const pinger = new Pinger();
  const times = worked.map(({ name }) => ({ name, add: [] as number[], remove: [] as number[] }));
  try {
    for (let round = -1; round < rounds; round++) {
      for (const [index, each] of worked.entries()) {
        await delay(REST_MS);
        const added = await timed(async () => pinger.answered(await each.add(), signal));
        await delay(REST_MS);
        const removed = await timed(() => each.remove());
        if (round < 0) continue;
        times[index]?.add.push(added);
        times[index]?.remove.push(removed);
      }
    }
  } finally {
    pinger.close();
  }
  return times;
}

export default {
  shows:
    'A NIC plugged into a running QEMU machine until it answers a ping, and unplugged, against a script that works QEMU, tap, bridge and the agent by hand and does nothing besides, and against virsh: on a machine like ours, and on libvirt’s default.',
  usage: '[ROUNDS]',
  place: 'own',
  programs: [QEMU],
  timeoutMs: 170_000,
  async *comparisons({ numbers, signal }): AsyncGenerator<Comparison, void> {
    const [rounds = 0] = numbers(15);
    const image = await buildImage();
    using directory = new TempDir();
    await using engine = await engineHere('qemu');
    // As the others' machines: what QEMU does for a device takes longer the more of them there are.
    const pod = await engine.hyperplug.createPod({ id: 'ours', nicSlots: 4, network: 'none' });
    const bare = await BareGuest.boot(image, directory.path, signal);
    const libvirt = await Libvirt.start(signal);
    const guests: LibvirtGuest[] = [];
    try {
      if (typeof libvirt !== 'string')
        for (const { machine } of VIRSH) guests.push(await LibvirtGuest.boot(machine, image, signal));
      const worked = [
        ours(pod),
        byHand('script: QMP, netlink and agent by hand', bare, 150, signal),
        ...guests.map((guest, at) => byHand(VIRSH[at]?.name ?? '', guest, 180 + 30 * at, signal)),
      ];
      const [mine, script, ...virsh] = await measure(worked, rounds, signal);
      for (const [what, title] of [
        ['add', 'NIC added, to an answered ping'],
        ['remove', 'NIC removed'],
      ] as const) {
        const of = (taken: typeof mine) => ({ name: taken?.name ?? '', samples: taken?.[what] ?? [] });
        const peer = { role: 'peer', target: { timesBetter: 5 } } as const;
        yield {
          title,
          unit: 'ms',
          rounds,
          ours: of(mine),
          against: [
            { role: 'floor', target: { atMost: 1.25 }, ...of(script) },
            ...(typeof libvirt === 'string'
              ? VIRSH.map(({ name }) => ({ ...peer, name, missing: libvirt }))
              : virsh.map((each) => ({ ...peer, ...of(each) }))),
          ],
        };
      }
    } finally {
      for (const guest of guests) await guest.stop();
      if (typeof libvirt !== 'string') await libvirt.stop();
      await bare.stop();
    }
  },
} satisfies Scenario;
