import { NoFirewall } from '../../src/plugins/none-firewall/index.js';
import { callFor, networkSpec, startBackend } from './netlink-backend.js';

/** A program: inits the default network of a namespace so many times, each time with a backend of its own. */
const [name = '', directory = '', rounds, firewall] = process.argv.slice(2);
const namespace = { name, path: `/run/netns/${name}` };
for (let round = 0; round < Number(rounds); round++) {
  const bench = await startBackend({
    namespace,
    directory,
    ...(firewall === 'none' && { firewall: new NoFirewall() }),
  });
  await bench.backend.init([networkSpec({ subnets: ['192.168.123.0/24', 'fd00:123::/64'] })], callFor());
  await bench.stop();
}
