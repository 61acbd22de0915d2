import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { TestNamespace } from '../../test/support/netns.js';
import { CNI_DIRECTORY } from '../harness/machine.js';
import type { Rival, Target } from '../harness/scenario.js';
import { settle, timed } from '../harness/time.js';

/**
 * The plugins bridge, host-local and portmap, called as a runtime calls them. host-local writes to files of `directory`,
 * and does not wait for the disk.
 */
export function cni(directory: string, published: boolean, target: Target): Rival {
  const name = published ? 'CNI bridge, host-local, portmap' : 'CNI bridge, host-local';
  const common = { name, role: 'peer', target } as const;
  if (!existsSync(`${CNI_DIRECTORY}/portmap`)) return { ...common, missing: `${CNI_DIRECTORY} has no plugins` };
  let serial = 0;
  return { ...common, run: () => once(directory, published, `bench${serial++}`) };
}

async function once(dataDir: string, published: boolean, container: string): Promise<number> {
  const guest = new TestNamespace();
  const network = { cniVersion: '0.4.0', name: 'bench' };
  const bridge = {
    ...network,
    type: 'bridge',
    bridge: 'cni0',
    isGateway: true,
    ipMasq: true,
    ipam: { type: 'host-local', subnet: '10.88.0.0/16', dataDir },
  };
  const portmap = (prevResult: unknown) => ({
    ...network,
    type: 'portmap',
    runtimeConfig: { portMappings: [{ hostPort: 8091, containerPort: 80, protocol: 'tcp' }] },
    prevResult,
  });
  const call = (command: string, config: { readonly type: string }) => plugin(command, config, container, guest.path);
  await settle();
  let result: unknown;
  const time = await timed(() => {
    result = JSON.parse(call('ADD', bridge));
    if (published) call('ADD', portmap(result));
  });
  if (published) call('DEL', portmap(result));
  call('DEL', bridge);
  guest.delete();
  return time;
}

function plugin(command: string, config: { readonly type: string }, container: string, netns: string): string {
  const env = {
    ...process.env,
    CNI_COMMAND: command,
    CNI_CONTAINERID: container,
    CNI_NETNS: netns,
    CNI_IFNAME: 'eth0',
    CNI_PATH: CNI_DIRECTORY,
  };
  const input = JSON.stringify(config);
  const { status, stdout } = spawnSync(`${CNI_DIRECTORY}/${config.type}`, [], { input, env, encoding: 'utf8' });
  if (status !== 0) throw new Error(`${config.type} ${command}: ${stdout}`);
  return stdout;
}
