import { type Command, Option } from 'commander';
import type { PortSelector } from '../core/pod/types.js';
import type { CommandContext } from './context.js';
import {
  type NicText,
  parseAddress,
  parseDestination,
  parseGateway,
  parseMetric,
  parseMtu,
  parseNic,
} from './parse/nic.js';
import { type PublishedPort, parsePortSelector, parsePublish } from './parse/ports.js';

/** What program.ts makes commands with. */
export interface CommandKit {
  command(parent: Command, usage: string, description: string): Command;
  run(made: Command, body: (context: CommandContext) => Promise<number>): Promise<void>;
}

/** Each of a variadic argument's words through `parse`. */
const each =
  <T>(parse: (text: string) => T) =>
  (text: string, all: readonly T[] | undefined): T[] => [...(all ?? []), parse(text)];

/** `net`, `nic`, `route` and `port`: the part of the tree that is about networks. */
export function addNetworkCommands(program: Command, kit: CommandKit): void {
  netCommands(program, kit);
  nicCommands(program, kit);
  routeCommands(program, kit);
  portCommands(program, kit);
}

function netCommands(program: Command, { command, run }: CommandKit): void {
  const net = command(program, 'net', 'the configured networks');
  const load = () => import('./commands/net.js');
  const simple = [
    ['init', 'make networks ready, as the first pod in them does'],
    ['status', 'list networks and what they are'],
    ['check', 'tell what differs from how networks should be'],
    ['repair', 'put right what differs, and make what is absent'],
  ] as const;
  for (const [name, description] of simple) {
    command(net, name, description)
      .argument('[NAME...]', 'networks; without it all that are configured')
      .action(async (names: string[], _options, made) =>
        run(made, async (context) => (await load())[name](context, names)),
      );
  }
  command(net, 'teardown', 'remove what was made of networks')
    .argument('[NAME...]', 'networks; without it all that are configured')
    .option('-f, --force', 'even if pods have NICs in it')
    .action(async (names: string[], options, made) =>
      run(made, async (context) => (await load()).teardown(context, names, options)),
    );
}

function nicCommands(program: Command, { command, run }: CommandKit): void {
  const nic = command(program, 'nic', 'NICs of a kept pod');
  const load = () => import('./commands/nic.js');
  command(nic, 'add', 'add NICs to a running pod')
    .argument('<POD>', 'the pod')
    .argument('[NIC...]', 'net=NAME,ip=ADDRESS,mac=…,mtu=…,name=…,id=…,gateway=…,tap=…', each(parseNic))
    .action(async (pod: string, nics: NicText[] | undefined, _options, made) =>
      run(made, async (context) => (await load()).add(context, pod, nics ?? [])),
    );
  command(nic, 'rm <POD> <NIC...>', 'take NICs away, with their ports, routes and addresses').action(
    async (pod: string, nics: string[], _options, made) =>
      run(made, async (context) => (await load()).rm(context, pod, nics)),
  );
  const addresses = (flags: string, description: string) =>
    new Option(flags, description)
      .argParser(each((text) => parseAddress(flags.split(' ')[0] ?? '', text)))
      .default([], 'none');
  command(nic, 'set <POD> <NIC>', 'change a NIC')
    .addOption(addresses('--add-ip <address>', 'an address it shall have besides; repeatable'))
    .addOption(addresses('--remove-ip <address>', 'an address it shall have no more; repeatable'))
    .option('--name <name>', 'its name in the guest')
    .addOption(new Option('--mtu <bytes>', 'its MTU').argParser((text) => parseMtu('--mtu', text)))
    .action(async (pod: string, id: string, options, made) =>
      run(made, async (context) => (await load()).set(context, pod, id, options)),
    );
  command(nic, 'ls <POD>', 'list NICs as the guest has them').action(async (pod: string, _options, made) =>
    run(made, async (context) => (await load()).ls(context, pod)),
  );
}

function routeCommands(program: Command, { command, run }: CommandKit): void {
  const route = command(program, 'route', 'routes in a kept pod');
  const load = () => import('./commands/route.js');
  const changes = [
    ['add', 'add routes'],
    ['rm', 'remove routes; one that is gone is no error'],
  ] as const;
  for (const [name, description] of changes) {
    command(route, name, description)
      .argument('<POD>', 'the pod')
      .argument('<DEST...>', 'default, a subnet or an address', each(parseDestination))
      .addOption(new Option('--gateway <address>', 'the next hop').argParser((text) => parseGateway('--gateway', text)))
      .option('--nic <id>', 'the NIC it leaves by; else the guest finds it by the gateway')
      .addOption(new Option('--metric <number>', 'of several the lowest is taken').argParser(parseMetric))
      .action(async (pod: string, destinations: string[], options, made) =>
        run(made, async (context) => (await load())[name](context, pod, destinations, options)),
      );
  }
  command(route, 'ls <POD>', "list the guest's routes").action(async (pod: string, _options, made) =>
    run(made, async (context) => (await load()).ls(context, pod)),
  );
}

function portCommands(program: Command, { command, run }: CommandKit): void {
  const port = command(program, 'port', 'published ports of a kept pod');
  const load = () => import('./commands/port.js');
  command(port, 'add', 'publish ports')
    .argument('<POD>', 'the pod')
    .argument(
      '<PORTS...>',
      '[HOST_IP:]HOST_PORT:POD_PORT[/udp]',
      each((text) => parsePublish(text, 'PORTS')),
    )
    .option('--nic <id>', 'the NIC they lead to; else the first')
    .action(async (pod: string, ports: PublishedPort[], options, made) =>
      run(made, async (context) => (await load()).add(context, pod, ports, options)),
    );
  command(port, 'rm', 'withdraw published ports; prints those that there were')
    .argument('<POD>', 'the pod')
    .argument('<PORTS...>', '[HOST_IP:]HOST_PORT[/udp], whole ranges', each(parsePortSelector))
    .action(async (pod: string, ports: PortSelector[], _options, made) =>
      run(made, async (context) => (await load()).rm(context, pod, ports)),
    );
  command(port, 'ls <POD>', 'list published ports').action(async (pod: string, _options, made) =>
    run(made, async (context) => (await load()).ls(context, pod)),
  );
}
