import { isIP } from 'node:net';
import { z } from 'zod';
import { PLUGIN_KINDS, type PluginKind } from '../plugin.js';
import type { PluginRegistry } from '../registry/registry.js';
import { parseSubnet, type Subnet } from './subnet.js';

/** Where each kind stands in the configuration: its section, and the key there that selects the plugin. */
export const SECTIONS = {
  hypervisor: {
    section: 'hypervisor',
    selector: 'driver',
    default: 'qemu',
    what: 'what runs the VMs; auto: the best that works here',
  },
  network: {
    section: 'network',
    selector: 'backend',
    default: 'builtin-net',
    what: 'what makes the host side of NICs',
  },
  firewall: { section: 'firewall', selector: 'driver', default: 'none', what: 'what makes NAT and forwarding rules' },
  agent: {
    section: 'agent',
    selector: 'driver',
    default: 'hyperstart',
    what: 'the protocol of the agent in the guest',
  },
  'address-pool': { section: 'addressPool', selector: 'driver', default: 'local', what: 'what hands out addresses' },
  state: { section: 'state', selector: 'driver', default: 'local', what: 'what keeps records' },
} as const satisfies Record<PluginKind, { section: string; selector: string; default: string; what: string }>;

/** In place of a hypervisor's name: the best that works here. */
export const AUTOMATIC = 'auto';

/** A path: relative to the file that names it (on the command line: to the current directory); `~/` is the home directory. */
const path = z.string().min(1).meta({ path: true });

const subnet = z.string().transform((text, context) => {
  const parsed = parseSubnet(text);
  if (!('expected' in parsed)) return parsed.text;
  context.addIssue({ code: 'custom', message: parsed.expected });
  return z.NEVER;
});

const known = (texts: readonly string[]) => texts.map(parseSubnet).filter((each): each is Subnet => 'family' in each);

const INTERFACE_NAME = 'an interface name: 1 to 15 characters without blanks, slashes and colons; not . or ..';

const network = z.strictObject({
  subnets: z
    .array(subnet)
    .min(1)
    .refine((subnets) => new Set(known(subnets).map(({ family }) => family)).size === subnets.length, {
      error: 'at most one subnet of each family',
    })
    .prefault(['192.168.123.0/24'])
    .describe('at most one IPv4 and one IPv6 subnet, in CIDR notation'),
  bridge: z
    .string()
    .regex(/^(?!\.{1,2}$)[^\s/:]{1,15}$/, INTERFACE_NAME)
    .optional()
    .describe('the bridge to make or use, where the backend has bridges; without it the backend chooses'),
  mtu: z.int().min(68).max(65_535).nullable().default(null).describe('bytes; null: that of the uplink'),
  isolated: z.boolean().default(false).describe('pods of this network reach neither each other nor other networks'),
  dns: z
    .array(z.string().refine((text) => isIP(text) !== 0, { error: 'an IPv4 or IPv6 address' }))
    .default([])
    .describe("name servers of the guests; none: the backend's own choice"),
  allow: z
    .strictObject({
      internal: z.array(subnet).default([]).describe('from these everything may come'),
      external: z.array(subnet).default([]).describe('from these published ports may be reached, and nothing else'),
    })
    .optional()
    .describe('who may reach the pods from outside their network; without it or without entries: no restriction'),
});

const networks = z
  .record(z.string().regex(/^[a-z0-9][a-z0-9-]{0,31}$/, 'lower-case letters, digits and dashes, at most 32'), network)
  .refine((all) => Object.keys(all).length > 0, { error: 'at least one network' })
  .prefault({ default: {} })
  .describe('the networks by name; none given: one that is called default');

const guest = z.strictObject({
  kernel: path.optional().describe("kernel to boot instead of the image's own"),
  initramfs: path.optional().describe("initramfs to boot instead of the image's own"),
  kernelArgs: z.array(z.string().min(1)).default([]).describe('appended to the kernel command line'),
  imageDirectory: path.optional().describe('where built images are kept; without it a part of paths.cacheDirectory'),
});

const pods = z.strictObject({
  memoryMib: z.int().min(96).default(256).describe('memory of a pod that names none, MiB'),
  cpus: z.int().min(1).default(1).describe('CPUs of a pod that names none'),
  nicSlots: z.int().min(0).default(2).describe('slots kept free for NICs that are added while a pod runs'),
  network: z.string().min(1).default('default').describe('network of an interface that names none'),
  bootTimeoutMs: z
    .int()
    .min(1_000)
    .default(120_000)
    .describe("from the hypervisor's launch until the guest's network is up, milliseconds"),
  template: z
    .string()
    .regex(/^[a-z0-9][a-z0-9-]{0,40}$/, 'the name of a template, auto, or none')
    .optional()
    .describe('saved VM that pods go on from, where they fit; auto: one is made in the background; without it none'),
});

const templates = z.strictObject({
  directory: path.optional().describe('where templates are kept; without it a part of paths.cacheDirectory'),
  automaticCount: z.int().min(0).max(64).default(4).describe('templates that are made for template: auto, at most'),
  automaticTotalMib: z.int().min(0).default(4_096).describe('memory of all those together, at most, MiB'),
});

const pool = z.strictObject({
  size: z.int().min(0).max(256).default(0).describe('VMs that the daemon keeps running for pods to take; 0: none'),
  template: z
    .string()
    .regex(/^[a-z0-9][a-z0-9-]{0,40}$/, 'the name of a template')
    .optional()
    .describe('what they are clones of; without it a template is made as pods are that say nothing'),
  totalMib: z.int().min(0).default(4_096).describe('memory of all of them together, at most, MiB'),
});

const paths = z.strictObject({
  stateDirectory: path
    .optional()
    .describe('records and console logs; without it /var/lib/hyperplug (root) or $XDG_STATE_HOME/hyperplug'),
  runtimeDirectory: path
    .optional()
    .describe(
      'sockets and locks; without it /run/hyperplug (root) or $XDG_RUNTIME_DIR/hyperplug, else /tmp/hyperplug-UID',
    ),
  cacheDirectory: path
    .optional()
    .describe('images and tools; without it /var/cache/hyperplug (root) or $XDG_CACHE_HOME/hyperplug'),
});

const daemon = z.strictObject({
  socket: path
    .optional()
    .describe("the daemon's unix socket, at most 107 bytes; without it daemon.sock in the runtime directory"),
  maxStreams: z
    .int()
    .min(1)
    .max(65_536)
    .default(512)
    .describe('commands, logs, events and waits that the daemon serves at a time'),
  maxConnections: z.int().min(1).max(65_536).default(1_024).describe('connections that the daemon takes at a time'),
});

const rootless = z.strictObject({
  enabled: z
    .boolean()
    .default(false)
    .describe(
      "network.backend netlink and firewall.driver iptables, where they are not configured otherwise, in network and user namespaces of one's own",
    ),
  hostLoopback: z
    .boolean()
    .default(false)
    .describe("pods reach servers on the host's loopback, at the second address of the namespace's network (10.0.2.2)"),
  mtu: z.int().min(1_280).max(65_521).default(65_520).describe('of the way out, bytes; networks follow it'),
});

export const LOG_LEVELS = ['silent', 'fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const;
export const LOG_FORMATS = ['auto', 'pretty', 'json'] as const;

const log = z.strictObject({
  level: z.enum(LOG_LEVELS).default('warn').describe('the least severe lines that are written'),
  format: z.enum(LOG_FORMATS).default('auto').describe('auto: pretty on a terminal, json elsewhere'),
});

const FIXED = {
  $schema: z.string().optional().describe('for editors; ignored'),
  guest: guest.prefault({}).describe('what VMs boot'),
  pods: pods.prefault({}).describe('what pods have where they say nothing themselves'),
  templates: templates.prefault({}).describe('saved VMs that pods go on from'),
  pool: pool.prefault({}).describe('VMs that run and wait for pods'),
  paths: paths.prefault({}).describe('directories'),
  log: log.prefault({}).describe('the log on standard error'),
  daemon: daemon.prefault({}).describe('the daemon, and where its clients find it'),
  rootless: rootless.prefault({}).describe('networks on bridges without root (--rootless)'),
  plugins: z
    .array(z.string().min(1))
    .default([])
    .describe('third-party plugins: packages, or files by a path that starts with ./, ../ or /'),
};

interface PluginSection {
  readonly driver: string;
  readonly [plugin: string]: unknown;
}

/** The whole configuration, complete and frozen. Beside `driver` or `backend` stand the options of each known plugin. */
export interface HyperplugConfig {
  readonly hypervisor: PluginSection;
  readonly network: {
    readonly backend: string;
    readonly networks: Readonly<Record<string, z.output<typeof network>>>;
    readonly [plugin: string]: unknown;
  };
  readonly firewall: PluginSection;
  readonly agent: PluginSection;
  readonly addressPool: PluginSection;
  readonly state: PluginSection;
  readonly guest: Readonly<z.output<typeof guest>>;
  readonly pods: Readonly<z.output<typeof pods>>;
  readonly templates: Readonly<z.output<typeof templates>>;
  readonly pool: Readonly<z.output<typeof pool>>;
  readonly paths: Readonly<z.output<typeof paths>>;
  readonly log: Readonly<z.output<typeof log>>;
  readonly daemon: Readonly<z.output<typeof daemon>>;
  readonly rootless: Readonly<z.output<typeof rootless>>;
  readonly plugins: readonly string[];
  readonly $schema?: string;
}

/**
 * The schema of the whole file, composed from those of the known plugins. Options of a plugin that is not selected are
 * checked as well, so that changing `driver` is all it takes to change the driver.
 * @param selected names by kind; a selected plugin's required options must be there. Undefined: those of all may be absent.
 */
export function configSchema(
  registry: PluginRegistry,
  selected: Partial<Record<PluginKind, string>> = {},
): z.ZodType<HyperplugConfig> {
  const sections = PLUGIN_KINDS.map((kind) => {
    const { section, selector, default: fallback, what } = SECTIONS[kind];
    const plugins = registry.list(kind).map(({ plugin }) => plugin);
    const choice = z
      .string()
      .meta({
        // Not all there are: the file may name others under `plugins`.
        examples: [
          ...new Set([...plugins.map(({ name }) => name), fallback, ...(kind === 'hypervisor' ? [AUTOMATIC] : [])]),
        ].sort(),
      })
      .default(fallback)
      .describe(what);
    const options = plugins.map(({ name, options: schema, description }) => {
      const complete = schema.safeParse({}).success || selected[kind] === name;
      const member = complete ? schema.prefault({}) : schema.optional();
      return [name, description ? member.describe(description) : member];
    });
    const shape = { [selector]: choice, ...(kind === 'network' ? { networks } : {}), ...Object.fromEntries(options) };
    return [section, z.strictObject(shape).prefault({})];
  });
  return z.strictObject({
    ...Object.fromEntries(sections.reverse()),
    ...FIXED,
  }) as unknown as z.ZodType<HyperplugConfig>;
}
