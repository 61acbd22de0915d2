import { hasCode } from '../../../src/core/errors.js';
import type { Hyperplug, Pod } from '../../../src/core/pod/types.js';

export const POD = 'p';
const SPEC = {
  id: POD,
  keep: true,
  nicSlots: 6,
  interfaces: [{}, { id: 'b', network: 'back' }],
  portmappings: [{ hostPort: 18_080, containerPort: 80 }],
};
const X = { id: 'x', network: 'default', portmappings: [{ hostPort: 18_090, containerPort: 90 }] };
const Y = { id: 'y', network: 'back' };
const PORT = { hostPort: 18_100, containerPort: 100, interface: 'b' };

export interface Operation {
  /** Brings the pod to where the operation begins, from wherever a dead process and gc have left it. */
  before(hyperplug: Hyperplug): Promise<void>;
  run(hyperplug: Hyperplug): Promise<void>;
  /** What a repetition may say if the dead process had done it all. */
  readonly done: readonly Parameters<typeof hasCode>[1][];
  /** NICs that the pod may have after gc: as before, or as after. null: there may be no pod. */
  readonly nics: readonly (readonly string[] | null)[];
  /** It can be done again whether the pod runs or not. */
  readonly anyhow?: true;
}

async function held(hyperplug: Hyperplug, body: (pod: Pod) => Promise<unknown>): Promise<void> {
  await using pod = await hyperplug.openPod(POD);
  await body(pod);
}

async function exists(hyperplug: Hyperplug): Promise<boolean> {
  return (await hyperplug.listPods()).some(({ id }) => id === POD);
}

async function create(hyperplug: Hyperplug): Promise<void> {
  const pod = await hyperplug.createPod(SPEC);
  await pod.release();
}

async function baseline(hyperplug: Hyperplug, ...more: readonly string[]): Promise<void> {
  const status = (await hyperplug.listPods()).find(({ id }) => id === POD);
  if (status && status.state !== 'running') await hyperplug.removePod(POD, { force: true });
  if (status?.state !== 'running') await create(hyperplug);
  const extra = status?.state === 'running' ? status.nics.filter(({ id }) => ![...BASE, ...more].includes(id)) : [];
  if (extra.length === 0) return;
  await held(hyperplug, async (pod) => {
    for (const { id } of extra) await pod.nics.remove(id);
  });
}

const BASE = ['eth-default', 'b'];

export const OPERATIONS: Readonly<Record<string, Operation>> = {
  'net init': {
    async before(hyperplug) {
      if (await exists(hyperplug)) await hyperplug.removePod(POD, { force: true });
      await hyperplug.networks.teardown();
    },
    run: async (hyperplug) => void (await hyperplug.networks.init()),
    done: [],
    nics: [null],
    anyhow: true,
  },
  create: {
    async before(hyperplug) {
      await hyperplug.networks.init();
      if (await exists(hyperplug)) await hyperplug.removePod(POD, { force: true });
    },
    run: create,
    done: ['POD_ALREADY_EXISTS'],
    nics: [null, BASE],
    anyhow: true,
  },
  start: {
    async before(hyperplug) {
      if (await exists(hyperplug)) await hyperplug.pods.stop(POD, { graceMs: 0 });
      else await hyperplug.pods.create(SPEC);
    },
    run: async (hyperplug) => void (await hyperplug.pods.start(POD)),
    done: [],
    nics: [null, BASE],
    anyhow: true,
  },
  stop: {
    before: baseline,
    run: async (hyperplug) => void (await hyperplug.pods.stop(POD, { graceMs: 5_000 })),
    done: [],
    nics: [null, BASE],
    anyhow: true,
  },
  'nic add': {
    before: baseline,
    run: (hyperplug) => held(hyperplug, (pod) => pod.nics.add([X, Y])),
    done: ['VM_NIC_EXISTS'],
    nics: [BASE, [...BASE, 'x', 'y'], [...BASE, 'x'], [...BASE, 'y']],
  },
  'nic set': {
    async before(hyperplug) {
      await baseline(hyperplug);
      await held(hyperplug, (pod) =>
        pod.nics.update('b', { removeAddresses: ['10.91.0.99'], name: 'back0', mtu: 1400 }),
      );
    },
    run: (hyperplug) =>
      held(hyperplug, (pod) => pod.nics.update('b', { addAddresses: ['10.91.0.99'], name: 'back1', mtu: 1300 })),
    done: [],
    nics: [BASE],
  },
  'nic rm': {
    async before(hyperplug) {
      await baseline(hyperplug, 'x');
      await held(hyperplug, async (pod) => {
        if (!pod.nics.list().some(({ id }) => id === 'x')) await pod.nics.add([X]);
      });
    },
    run: (hyperplug) => held(hyperplug, (pod) => pod.nics.remove('x')),
    done: ['VM_NIC_NOT_FOUND'],
    nics: [BASE, [...BASE, 'x']],
  },
  'port add': {
    async before(hyperplug) {
      await baseline(hyperplug);
      await held(hyperplug, (pod) => pod.ports.remove([{ hostPort: PORT.hostPort }]));
    },
    run: (hyperplug) => held(hyperplug, (pod) => pod.ports.add([PORT])),
    done: [],
    nics: [BASE],
  },
  'port rm': {
    async before(hyperplug) {
      await baseline(hyperplug);
      await held(hyperplug, (pod) => pod.ports.add([PORT]));
    },
    run: (hyperplug) => held(hyperplug, (pod) => pod.ports.remove([{ hostPort: PORT.hostPort }])),
    done: [],
    nics: [BASE],
  },
  remove: {
    before: baseline,
    run: (hyperplug) => hyperplug.removePod(POD),
    done: ['POD_NOT_FOUND'],
    nics: [null, BASE],
  },
};

/** Again, after gc. */
export async function repeat({ run, done }: Operation, hyperplug: Hyperplug): Promise<void> {
  try {
    await run(hyperplug);
  } catch (error) {
    if (!hasCode(error, ...done)) throw error;
  }
}
