import { HyperplugError, shown } from '../../errors.js';

/**
 * Fields of hyperd's UserPod that ask for what there is not, and why; `[]` stands for each member of a list. Empty ones ask
 * for nothing, and are taken.
 */
export const REFUSED_FIELDS: Readonly<Record<string, string>> = {
  services: 'there is no load balancer in the guest: publish ports with portmappings, or run one in the pod',
  'interfaces[].bridge': 'a network is named, and its bridge is its configuration: use network',
  'containers[].logPath': "output is kept in the pod's own directory, bounded: read it with logs",
  'containers[].imagePullPolicy': 'images are not pulled: image is a path of this host',
  'containers[].ports[].servicePort': 'there are no services',
  'volumes[].option': 'it is for volumes of a storage cluster',
  'volumes[].cache': 'the hypervisor chooses how a disk is cached',
};

/** Formats of hyperd's volumes that there are not. */
export const REFUSED_FORMATS: Readonly<Record<string, string>> = {
  rbd: 'Ceph is not spoken: map the device on the host, and use it as raw',
  nas: 'NFS is not spoken: mount it on the host, and use the directory as vfs',
  vdi: 'the hypervisors take raw and qcow2: convert it with qemu-img',
};

/** Other spellings that Go's decoder, and so hyperd, takes. */
const ALIASES: Readonly<Record<string, string>> = {
  RestartPolicy: 'restartPolicy',
  'containers[].RestartPolicy': 'restartPolicy',
  'containers[].StopSignal': 'stopSignal',
};

/**
 * A copy in which every field has its one name, and those that ask for what there is not are left out where they are empty.
 * @throws NOT_SUPPORTED naming the field, why, and what came.
 */
export function withoutRefused(input: unknown): unknown {
  return walk(input, '', '');
}

/** `pattern` has `[]` where `path` has the index. */
function walk(value: unknown, path: string, pattern: string): unknown {
  if (Array.isArray(value)) return value.map((each, index) => walk(each, `${path}[${index}]`, `${pattern}[]`));
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) === null) return value;
  const known = /^$|^(containers|interfaces|volumes)\[\]$|^containers\[\]\.ports\[\]$|^services$/.test(pattern);
  const entries = Object.entries(value).flatMap(([key, member]): [string, unknown][] => {
    const below = (text: string) => (text === '' ? key : `${text}.${key}`);
    const why = known ? own(REFUSED_FIELDS, below(pattern)) : undefined;
    if (why === undefined) {
      const name = (known ? own(ALIASES, below(pattern)) : undefined) ?? key;
      return [[name, known ? walk(member, below(path), below(pattern)) : member]];
    }
    if (isEmpty(member)) return [];
    throw new HyperplugError('NOT_SUPPORTED', `${below(path)}: expected nothing (${why}), got ${shown(member)}`, {
      details: { field: below(path), expected: 'nothing', received: member, why },
    });
  });
  return Object.fromEntries(entries);
}

/** Not what every object has, `constructor` and the like. */
const own = (texts: Readonly<Record<string, string>>, key: string) =>
  Object.hasOwn(texts, key) ? texts[key] : undefined;

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null || value === '' || value === false || value === 0) return true;
  if (Array.isArray(value)) return value.length === 0;
  return typeof value === 'object' && Object.values(value).every(isEmpty);
}
