import { join } from 'node:path';
import { expect } from 'chai';
import { z } from 'zod';
import { type LoadConfigOptions, loadConfig } from '../../../../src/core/config/load-config.js';
import { originText } from '../../../../src/core/config/origin.js';
import { PluginRegistry } from '../../../../src/core/registry/registry.js';
import { fakePlugin, fakeService } from '../../../support/fake-plugins.js';
import { rejects } from '../../../support/rejects.js';
import { tempDirs } from '../../../support/temp-dir.js';

/** Plugins of the names that are selected by default, one of them with options, and a second hypervisor. */
function registry(): PluginRegistry {
  const named = (kind: Parameters<typeof fakePlugin>[0], name: string, options?: z.ZodType) => ({
    ...fakePlugin(kind, fakeService(kind, name)),
    name,
    ...(options ? { options } : {}),
  });
  return new PluginRegistry([
    named(
      'hypervisor',
      'qemu',
      z.strictObject({
        binaryPath: z.string().default('/usr/bin/qemu').meta({ path: true }),
        accel: z.enum(['auto', 'kvm', 'tcg']).default('auto'),
        token: z.string().min(8).optional().meta({ secret: true }),
        tunnels: z.array(z.strictObject({ url: z.string(), password: z.string().meta({ secret: true }) })).default([]),
      }),
    ),
    named('hypervisor', 'cloud', z.strictObject({ endpoint: z.string() })),
    named('network', 'builtin-net'),
    named('firewall', 'none'),
    named('agent', 'hyperstart'),
    named('address-pool', 'local'),
    named('state', 'local'),
  ]);
}

describe('loadConfig', () => {
  const temp = tempDirs();

  /** Loads from a directory tree of the test: `etc/` is the system's place, `home/` the user's, `work/` the current one. */
  function load(files: Readonly<Record<string, string>> = {}, options: Partial<LoadConfigOptions> = {}) {
    const root = temp(files);
    const places = { cwd: join(root, 'work'), home: join(root, 'home'), systemDirectory: join(root, 'etc'), env: {} };
    return { root, loading: loadConfig({ registry: registry(), ...places, ...options }) };
  }
  const yaml = (text: string, options?: Partial<LoadConfigOptions>) =>
    load({ 'work/hyperplug.yaml': text }, options).loading;

  it('is complete, frozen and all default without any file', async () => {
    const loaded = await load().loading;
    expect(loaded.files).to.deep.equal([]);
    expect(loaded.config.hypervisor).to.deep.equal({
      driver: 'qemu',
      qemu: { binaryPath: '/usr/bin/qemu', accel: 'auto', tunnels: [] },
    });
    expect(loaded.networks).to.deep.equal([
      { name: 'default', subnets: ['192.168.123.0/24'], mtu: null, isolated: false, dns: [] },
    ]);
    expect(loaded.config.pods).to.be.frozen;
    expect(loaded.config.hypervisor.qemu).to.be.frozen;
    expect(loaded.networks[0]?.subnets).to.be.frozen;
    expect(loaded.originOf(['pods', 'cpus'])).to.deep.equal({ kind: 'default' });
    expect(loaded.select().hypervisor.plugin.name).to.equal('qemu');
  });

  it('of networks that overlap refuses the later ones, and tells of each why', async () => {
    const loaded = await yaml(
      'network: {networks: {default: {}, b: {subnets: [192.168.123.0/25]}, c: {subnets: [10.0.0.0/24]}, d: {subnets: [10.0.0.128/25]}}}',
    );
    expect(loaded.networks.map(({ name }) => name)).to.deep.equal(['default', 'b', 'c', 'd']);
    expect([...loaded.refusedNetworks.keys()]).to.deep.equal(['b', 'd']);
    const why = loaded.refusedNetworks.get('b');
    expect(why?.code).to.equal('CONFIG_INVALID');
    expect(why?.message)
      .to.include('network.networks.b.subnets')
      .and.include('192.168.123.0/24 of network default, got ["192.168.123.0/25"]')
      .and.include('hyperplug.yaml');
  });

  it('merges system, user, current directory and command line, key by key, and knows the origin of each', async () => {
    const { root, loading } = load(
      {
        'etc/hyperplug.json':
          '{\n "pods": { "cpus": 2, "memoryMib": 100,\n "nicSlots": 1 },\n "guest": {"kernelArgs": ["a", "b"]} }',
        'home/.config/hyperplug/hyperplug.yaml': 'pods:\n  memoryMib: 200\n  nicSlots: 3\n',
        'work/hyperplug.yml': 'pods:\n  nicSlots: 5\nguest:\n  kernelArgs: [c]\n',
      },
      { overrides: [{ path: ['hypervisor', 'qemu', 'accel'], value: 'tcg', flag: '--accel' }] },
    );
    const { config, files, originOf } = await loading;
    expect(config.pods).to.deep.include({ cpus: 2, memoryMib: 200, nicSlots: 5 });
    expect(config.guest.kernelArgs).to.deep.equal(['c']);
    expect(files).to.deep.equal(
      ['etc/hyperplug.json', 'home/.config/hyperplug/hyperplug.yaml', 'work/hyperplug.yml'].map((name) =>
        join(root, name),
      ),
    );
    const origin = (...path: string[]) => originText(originOf(path));
    expect(origin('pods', 'cpus')).to.equal(`${root}/etc/hyperplug.json:2`);
    expect(origin('pods', 'memoryMib')).to.equal(`${root}/home/.config/hyperplug/hyperplug.yaml:2`);
    expect(origin('pods', 'nicSlots')).to.equal(`${root}/work/hyperplug.yml:2`);
    expect(origin('hypervisor', 'qemu', 'accel')).to.equal('command line (--accel)');
    expect(origin('hypervisor', 'qemu', 'binaryPath')).to.equal('default');
  });

  it('takes --config before HYPERPLUG_CONFIG before the current directory, over the user and the system', async () => {
    const files = {
      'etc/hyperplug.yaml': 'pods: {nicSlots: 7}',
      'work/hyperplug.yaml': 'pods: {cpus: 2}',
      'env.yaml': 'pods: {cpus: 3}',
      'flag.json': '{"pods": {"cpus": 4}}',
    };
    const env = { HYPERPLUG_CONFIG: '../env.yaml' };
    expect((await load(files).loading).config.pods).to.deep.include({ cpus: 2, nicSlots: 7 });
    expect((await load(files, { env }).loading).config.pods).to.deep.include({ cpus: 3, nicSlots: 7 });
    const flagged = await load(files, { env, explicitPath: '../flag.json' }).loading;
    expect(flagged.config.pods).to.deep.include({ cpus: 4, nicSlots: 7 });
    expect((await load(files, { env: { HYPERPLUG_CONFIG: '' } }).loading).config.pods.cpus).to.equal(2);
  });

  it('follows an absolute XDG_CONFIG_HOME and ignores a relative one', async () => {
    const files = {
      'xdg/hyperplug/hyperplug.yaml': 'pods: {cpus: 6}',
      'home/.config/hyperplug/hyperplug.yaml': 'pods: {cpus: 5}',
    };
    const root = temp(files);
    const places = { registry: registry(), cwd: root, home: join(root, 'home'), systemDirectory: join(root, 'etc') };
    const xdg = await loadConfig({ ...places, env: { XDG_CONFIG_HOME: join(root, 'xdg') } });
    expect(xdg.config.pods.cpus).to.equal(6);
    expect(
      (await loadConfig({ ...places, registry: registry(), env: { XDG_CONFIG_HOME: 'xdg' } })).config.pods.cpus,
    ).to.equal(5);
  });

  it('makes relative paths relative to the file that names them, those of the command line to the current directory', async () => {
    const { root, loading } = load(
      {
        'etc/hyperplug.yaml':
          'guest: {kernel: ./vmlinux, initramfs: ~/i.img}\nhypervisor: {qemu: {binaryPath: bin/qemu}}',
        'work/hyperplug.yaml': 'paths: {stateDirectory: /abs}',
      },
      { overrides: [{ path: ['paths', 'cacheDirectory'], value: 'cache', flag: '--cache' }] },
    );
    const { config } = await loading;
    expect(config.guest.kernel).to.equal(join(root, 'etc/vmlinux'));
    expect(config.guest.initramfs).to.equal(join(root, 'home/i.img'));
    expect(config.hypervisor.qemu).to.deep.include({ binaryPath: join(root, 'etc/bin/qemu') });
    expect(config.paths).to.deep.equal({ stateDirectory: '/abs', cacheDirectory: join(root, 'work/cache') });
  });

  it('changes the driver by changing `driver` alone: the options of the others stay, and are checked as well', async () => {
    const text = 'hypervisor:\n  driver: cloud\n  cloud: {endpoint: "https://x"}\n  qemu: {accel: tcg}\n';
    const cloud = await yaml(text);
    expect(cloud.select().hypervisor).to.deep.include({ options: { endpoint: 'https://x' } });
    const qemu = await yaml(text.replace('driver: cloud', 'driver: qemu'));
    expect(qemu.select().hypervisor.options).to.deep.include({ accel: 'tcg' });
    await rejects(yaml(text.replace('accel: tcg', 'accel: vt')), 'PLUGIN_OPTIONS_INVALID', 'hypervisor.qemu.accel');
  });

  it('knows the secrets that it read', async () => {
    const loaded = await yaml(
      'hypervisor: {qemu: {token: hunter2hunter2, tunnels: [{url: u, password: pass-word-1}]}}\npods: {network: default}\n',
    );
    expect(loaded.secrets).to.have.members(['hunter2hunter2', 'pass-word-1']);
  });

  it('takes an empty section as nothing said, and $schema as no concern of its own', async () => {
    const { config } = await yaml('hypervisor:\n# driver: qemu\n$schema: x.json\n');
    expect(config.hypervisor.driver).to.equal('qemu');
  });

  const wrong: readonly [string, string, Parameters<typeof rejects>[1], ...(string | RegExp)[]][] = [
    [
      'an unknown section',
      'pods: {}\nhypervisr: {}\n',
      'CONFIG_INVALID',
      'hypervisr',
      'mean "hypervisor"?',
      /hyperplug\.yaml:2\)/,
    ],
    [
      'an unknown key',
      'pods:\n  cpus: 1\n  memoryMb: 3\n',
      'CONFIG_INVALID',
      'pods.memoryMb',
      'mean "memoryMib"?',
      /yaml:3\)/,
    ],
    [
      'an unknown option',
      'hypervisor:\n  qemu:\n    acel: kvm\n',
      'PLUGIN_OPTIONS_INVALID',
      'qemu.acel',
      'mean "accel"?',
      /yaml:3\)/,
    ],
    [
      'options of a plugin that there is not',
      'firewall: {nftables: {}}',
      'CONFIG_INVALID',
      'firewall.nftables',
      'driver, none',
    ],
    [
      'a value of another type',
      'pods: {cpus: "two"}',
      'CONFIG_INVALID',
      'pods.cpus: expected',
      'number',
      '"two" (string)',
      /:1\)/,
    ],
    ['a value out of range', 'pods: {cpus: 0}', 'CONFIG_INVALID', 'pods.cpus: expected at least 1, got 0 (number)'],
    [
      'a value not among those there are',
      'log: {level: loud}',
      'CONFIG_INVALID',
      'log.level: expected one of "silent"',
      '"loud"',
    ],
    ['a list for a section', 'pods: [1]', 'CONFIG_INVALID', 'pods: expected object, got a list of 1'],
    ['a list for the whole', '- a', 'CONFIG_INVALID', 'configuration: expected sections', /hyperplug\.yaml:1\)/],
    [
      'a missing option of the selected plugin',
      'hypervisor: {driver: cloud}',
      'PLUGIN_OPTIONS_INVALID',
      'hypervisor.cloud.endpoint',
      'undefined',
    ],
    [
      'a plugin that there is not',
      '\nhypervisor: {driver: qmeu}',
      'PLUGIN_NOT_FOUND',
      'hypervisor.driver',
      'cloud, qemu',
      'mean "qemu"?',
      /:2\)/,
    ],
    [
      'a plugin of another kind',
      'hypervisor: {driver: hyperstart}',
      'PLUGIN_KIND',
      'hypervisor.driver',
      'kind hypervisor',
      'of kind agent',
      /:1\)/,
    ],
    [
      'a plugin by something else than text',
      'hypervisor: {driver: 7}',
      'CONFIG_INVALID',
      'hypervisor.driver: expected string, got 7',
    ],
    [
      'a subnet with host bits',
      'network: {networks: {default: {subnets: [10.0.0.1/24]}}}',
      'CONFIG_INVALID',
      'subnets[0]',
      '10.0.0.0/24',
    ],
    [
      'two subnets of one family',
      'network: {networks: {a: {subnets: [10.0.0.0/24, 10.0.1.0/24]}}}',
      'CONFIG_INVALID',
      'one subnet of each family',
    ],
    ['no network', 'network: {networks: {}}', 'CONFIG_INVALID', 'network.networks: expected at least one network'],
    [
      'a bridge name that no interface can have',
      'network: {networks: {default: {bridge: sixteen-letters-}}}',
      'CONFIG_INVALID',
      '.bridge: expected an interface name: 1 to 15 characters without blanks',
      '"sixteen-letters-"',
    ],
    [
      'a network by a name of other letters',
      'network: {networks: {ü: {}}}',
      'CONFIG_INVALID',
      'network.networks."ü": expected lower-case letters, digits and dashes, at most 32, got "ü"',
    ],
    [
      'a name server by name',
      'network: {networks: {default: {dns: [a.example]}}}',
      'CONFIG_INVALID',
      'dns[0]',
      'an IPv4 or IPv6 address',
    ],
    [
      'a default network that there is not',
      'pods: {network: lab}',
      'CONFIG_INVALID',
      'pods.network',
      '(default)',
      '"lab"',
      /:1\)/,
    ],
    ['a key that programs mistake', 'pods: {__proto__: {cpus: 9}}', 'CONFIG_INVALID', '__proto__'],
    ['plugins as text', 'plugins: ./a.js', 'CONFIG_INVALID', 'plugins: expected array'],
  ];
  for (const [title, text, code, ...parts] of wrong) {
    it(`refuses ${title}`, async () => {
      const error = await rejects(yaml(text), code, ...parts);
      expect(error.details).to.include.keys('field', 'expected', 'received', 'origin');
    });
  }

  it('tells everything that is wrong at once', async () => {
    const error = await rejects(yaml('pods: {cpus: 0, nicSlots: -1}\nlog: {format: xml}'), 'CONFIG_INVALID');
    expect(error.errors).to.have.length(3);
    for (const field of ['pods.cpus', 'pods.nicSlots', 'log.format']) expect(error.message).to.include(field);
  });

  it('shows no secret that is wrong', async () => {
    const short = 'hypervisor: {qemu: {token: s3cret}}';
    const error = await rejects(
      yaml(short),
      'PLUGIN_OPTIONS_INVALID',
      'hypervisor.qemu.token: expected at least 8',
      'got ***',
    );
    const nested = 'hypervisor: {qemu: {tunnels: {url: u, password: s3cret}}}';
    const other = await rejects(
      yaml(nested),
      'PLUGIN_OPTIONS_INVALID',
      'qemu.tunnels: expected array',
      'url, password',
    );
    expect(JSON.stringify([error.message, error.details, other.message, other.details])).not.to.include('s3cret');
  });

  it('refuses a named file that is not there, is a directory or is too large', async () => {
    await rejects(load({}, { explicitPath: 'no.yaml' }).loading, 'CONFIG_NOT_FOUND', '--config', '/work/no.yaml');
    await rejects(
      load({}, { env: { HYPERPLUG_CONFIG: '/no.yaml' } }).loading,
      'CONFIG_NOT_FOUND',
      'HYPERPLUG_CONFIG',
      '/no.yaml',
    );
    await rejects(load({ 'work/d/x': '' }, { explicitPath: 'd' }).loading, 'CONFIG_NOT_FOUND', 'directory');
    await rejects(yaml(`# ${'x'.repeat(1024 * 1024)}`), 'CONFIG_SYNTAX', 'at most 1 MiB');
  });

  it('refuses two files in one place rather than choosing one', async () => {
    const two = { 'work/hyperplug.yaml': '', 'work/hyperplug.json': '{}' };
    await rejects(load(two).loading, 'CONFIG_INVALID', 'hyperplug.yaml and', 'hyperplug.json', 'keep one');
  });

  it('reads a file once that is found in two places', async () => {
    const root = temp({ 'home/.config/hyperplug/hyperplug.yaml': 'pods: {cpus: 5}' });
    const cwd = join(root, 'home/.config/hyperplug');
    const loaded = await loadConfig({
      registry: registry(),
      cwd,
      home: join(root, 'home'),
      env: {},
      systemDirectory: root,
    });
    expect(loaded.files).to.have.length(1);
  });

  it('refuses at select() what the plugins cannot do, by their declarations', async () => {
    const loaded = await yaml('network: {networks: {default: {subnets: ["fd00::/64"]}}}');
    const select = async () => loaded.select();
    await rejects(
      select(),
      'PLUGIN_CAPABILITY_MISSING',
      'plugin builtin-net (built in)',
      'capabilities.families',
      'fd00::/64',
    );
  });
});
