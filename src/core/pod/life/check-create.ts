import { fieldError, HyperplugError } from '../../errors.js';
import { parseAddress, parseSubnet } from '../../ipam/index.js';
import { inside } from '../../ipam/subnet.js';
import type { NetworkSpec } from '../../network.js';
import { bare, type InterfaceSpec } from '../interface-spec.js';
import type { PodServices } from '../services.js';
import type { PodSpec } from '../spec.js';
import { whatIs } from './storage.js';

/**
 * What a start would not find is refused before there is a pod: its networks, an address that is of none of them, paths of
 * this host. Each start looks again.
 * @throws NET_NOT_FOUND, IPAM_ADDRESS_OUT_OF_RANGE, POD_SPEC_INVALID.
 */
export async function checkCreatable({ networks }: PodServices, spec: PodSpec): Promise<void> {
  for (const nic of spec.interfaces) if (nic.kind === 'network') checkNetwork(networks, nic);
  for (const { root, name } of spec.containers) {
    if (root) await whatIs(root.path, `image of container ${name}`);
  }
  for (const { source, name } of spec.volumes) {
    if (source !== undefined) await whatIs(source, `source of volume ${name}`);
  }
  for (const { file } of [...spec.files, ...spec.containers.flatMap(({ files }) => files)]) {
    if ('hostPath' in file.source) await whatIs(file.source.hostPath, `uri of file ${file.name}`);
  }
}

function checkNetwork(networks: readonly NetworkSpec[], { id, network, addresses }: InterfaceSpec): void {
  const found = networks.find(({ name }) => name === network);
  const field = `interfaces.${id}`;
  if (!found) {
    const expected = networks.map(({ name }) => name).join(', ');
    throw new HyperplugError(
      'NET_NOT_FOUND',
      `${field}.network: expected one of the networks ${expected}, got ${JSON.stringify(network)}`,
      { details: { field: `${field}.network`, expected, received: network } },
    );
  }
  const subnets = found.subnets.map((text) => parseSubnet(text, `network.networks.${network}.subnets`));
  for (const text of addresses) {
    const { family, value } = parseAddress(bare(text), `${field}.ip`);
    if (subnets.some((subnet) => subnet.family === family && inside(subnet, value))) continue;
    const expected = `an address of ${found.subnets.join(' or ')} (network ${network})`;
    throw fieldError('IPAM_ADDRESS_OUT_OF_RANGE', `${field}.ip`, expected, text);
  }
}
