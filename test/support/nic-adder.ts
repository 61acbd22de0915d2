import { createHyperplug } from '../../src/hyperplug.js';

/** Run as a program: opens a kept pod, says so, and adds NICs to it, to be killed meanwhile. */
const [configPath, id] = process.argv.slice(2) as [string, string];
const hyperplug = await createHyperplug({ configPath });
const pod = await hyperplug.openPod(id);
process.stdout.write('opened\n');
await pod.nics.add([
  { id: 'half-a', network: 'default', portmappings: [{ hostPort: 18_090, containerPort: 80 }] },
  { id: 'half-b', network: 'back' },
]);
process.stdout.write('added\n');
await pod.nics.update('half-b', { addAddresses: ['10.91.0.99'], name: 'half' });
await pod.nics.remove('half-a');
process.stdout.write('removed\n');
await hyperplug.close();
