import type { PodLook } from './life/look.js';
import { podNic } from './nics.js';
import type { PodDetails } from './pods-api.js';
import type { PodRecord } from './record.js';
import type { PodState, PodStatus } from './types.js';

export function podStatus(record: PodRecord, state: PodState): PodStatus {
  const { id, createdAt, hypervisor, network, cpus, memoryMib, keep, labels, consoleLogPath } = record;
  const nics = record.nics.map((nic) => podNic(nic));
  return {
    id,
    state,
    createdAt,
    hypervisor,
    network,
    cpus,
    memoryMib,
    keep,
    labels,
    consoleLogPath,
    origin: record.origin ?? null,
    pid: (state === 'running' || state === 'paused') && record.vm ? record.vm.process.pid : null,
    addresses: nics
      .filter(({ kind }) => kind === 'network')
      .flatMap((nic) => nic.addresses.map(({ address, prefixLength }) => `${address}/${prefixLength}`)),
    ports: nics.flatMap((nic) => nic.ports),
    nics,
    routes: record.routes.map((route) => ({ ...route, origin: 'pod' })),
  };
}

export function podDetails(record: PodRecord, { state, failure }: Pick<PodLook, 'state' | 'failure'>): PodDetails {
  const { hostname, spec, containers, startedAt, finishedAt, exit } = record;
  return {
    ...podStatus(record, state),
    hostname,
    spec,
    containers: containers.map(({ id, name, image, state: now, exitCode, startedAt: began, finishedAt: ended }) => {
      return { id, name, image, state: now, exitCode, startedAt: began, finishedAt: ended };
    }),
    startedAt,
    finishedAt,
    exit,
    failure,
  };
}
