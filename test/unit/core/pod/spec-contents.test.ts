import { expect } from 'chai';
import fc from 'fast-check';
import { isHyperplugError } from '../../../../src/core/errors.js';
import { type PodDefaults, parseKeptPodSpec, parsePodSpec } from '../../../../src/core/pod/spec.js';
import { REFUSED_FIELDS } from '../../../../src/core/pod/spec-parts/refused.js';

const defaults: PodDefaults = { cpus: 1, memoryMib: 128, nicSlots: 4, network: 'default' };

function refusal(input: unknown): { code: string; field: unknown; message: string } {
  try {
    parsePodSpec(input, defaults);
  } catch (error) {
    if (isHyperplugError(error)) return { code: error.code, field: error.details.field, message: error.message };
    throw error;
  }
  throw new Error('expected it to be refused');
}

/** As hyperd's documentation shows a pod: every field of its that there is here. */
const HYPERD = {
  id: 'multi-container',
  hostname: 'multi',
  type: 'pod',
  restartPolicy: 'never',
  tty: true,
  labels: { a: 'b' },
  resource: { vcpu: 2, memory: 512 },
  log: { type: '', config: {} },
  dns: ['8.8.8.8'],
  services: [],
  interfaces: [{ ip: '192.168.123.7/24', ifname: 'eth0', mac: '52:54:00:00:00:01', gateway: '192.168.123.1' }],
  portmappings: [{ containerPort: '80', hostPort: '8080', protocol: 'tcp' }],
  files: [{ name: 'resolv.conf', encoding: 'base64', content: 'c2VhcmNoIGxvY2FsCg==' }],
  volumes: [
    { name: 'shared', source: '/srv/data', format: 'vfs' },
    { name: 'disk', source: '/srv/disk.qcow2', format: 'qcow2', fstype: 'xfs' },
    { name: 'own', source: '', format: '' },
  ],
  containers: [
    {
      name: 'web',
      image: '/images/nginx.tar',
      workdir: '/srv',
      entrypoint: ['/bin/sh', '-c'],
      command: ['nginx'],
      envs: [{ env: 'A', value: '1' }],
      ports: [{ containerPort: 443, hostPort: 8443, protocol: 'TCP' }, { containerPort: 9000 }],
      volumes: [{ path: '/data', volume: 'shared', readOnly: true }],
      files: [{ path: '/etc/resolv.conf', filename: 'resolv.conf', perm: '0644', user: 'root', group: 'root' }],
      user: { name: 'www', group: 'www', additionalGroups: ['adm'] },
      sysctl: { 'net.core.somaxconn': '1024' },
      ulimits: [
        { name: 'nofile', hard: 1024, soft: 512 },
        // As Go writes its largest.
        { name: 'RLIMIT_CORE', hard: 2 ** 64, soft: 0 },
      ],
      logPath: '',
      StopSignal: 'SIGQUIT',
      RestartPolicy: 'onFailure',
      labels: { c: 'd' },
    },
    { image: '/images/busybox', tty: false },
  ],
} as const;

describe('what is in a pod, by its specification', () => {
  it('a list of services that say nothing asks for them all the same', () => {
    expect(refusal({ services: [{}] })).to.include({ code: 'NOT_SUPPORTED' });
  });

  it("is hyperd's UserPod, field by field", () => {
    const spec = parsePodSpec(HYPERD, defaults);
    const [web, other] = spec.containers;
    expect(web).to.deep.include({
      id: 'web',
      root: { kind: 'path', path: '/images/nginx.tar' },
      image: '/images/nginx.tar',
      limits: [
        { name: 'nofile', hard: 1024, soft: 512 },
        { name: 'core', hard: null, soft: 0 },
      ],
      workingDirectory: '/srv',
      env: { A: '1' },
      terminal: true,
      restartPolicy: 'onFailure',
      stopSignal: 3,
      sysctls: { 'net.core.somaxconn': '1024' },
      volumes: [{ volume: 'shared', path: '/data', readOnly: true }],
      user: { name: 'www', group: 'www', additionalGroups: ['adm'] },
    });
    expect(web?.files[0]).to.deep.include({ path: '/etc/resolv.conf', mode: 0o644, user: 'root' });
    expect(web?.files[0]?.file.source).to.deep.equal({ base64: 'c2VhcmNoIGxvY2FsCg==' });
    expect(other).to.deep.include({ id: 'container-1', terminal: false, restartPolicy: 'never', command: undefined });
    expect(spec.volumes.map(({ name, kind, format, fsType }) => ({ name, kind, format, fsType }))).to.deep.equal([
      { name: 'shared', kind: 'directory', format: 'raw', fsType: 'ext4' },
      { name: 'disk', kind: 'disk', format: 'qcow2', fsType: 'xfs' },
      { name: 'own', kind: 'empty', format: 'raw', fsType: 'ext4' },
    ]);
    expect(spec.interfaces[0]?.ports.map(({ hostPort, guestPort }) => `${hostPort}:${guestPort}`)).to.deep.equal([
      '8080:80',
      '8443:443',
    ]);
  });

  it('what it is completed to makes the same pod', () => {
    const ours = {
      id: 'ours',
      env: { A: 'b' },
      rootfs: { ociLayout: '/images/oci', reference: 'latest', layer: { kind: 'disk' } },
      command: 'date',
      stopSignal: 'INT',
      routes: [{ destination: '10.0.0.0/8', nic: 'eth-default' }],
      volumes: [{ name: 'mem', format: 'tmpfs', sizeMib: 64, path: '/scratch' }],
      files: [{ name: 'f', content: 'x', path: '/etc/f', perm: '0600' }],
      log: { config: { 'max-size': '1m' } },
    };
    for (const input of [HYPERD, ours, {}]) {
      const spec = parsePodSpec(input, defaults);
      expect(parsePodSpec(spec.json, { ...defaults, cpus: 7, network: 'other' })).to.deep.equal(spec);
    }
  });

  it("a root of the pod's own is the container `main`, with what is put there", () => {
    const { containers, files } = parsePodSpec(
      {
        rootfs: '/tree',
        env: { A: '1' },
        volumes: [{ name: 'v', source: '/x', path: '/v' }, { name: 'w' }],
        files: [{ name: 'f', path: '/f' }, { name: 'g' }],
        containers: [{ name: 'c', command: 'x', volumes: [{ volume: 'w', path: '/w' }] }],
      },
      defaults,
    );
    expect(containers.map(({ id, runs }) => ({ id, runs }))).to.deep.equal([
      { id: 'main', runs: false },
      { id: 'c', runs: true },
    ]);
    expect(containers[0]?.volumes).to.deep.equal([{ volume: 'v', path: '/v', readOnly: false }]);
    expect(containers[0]?.files.map(({ path }) => path)).to.deep.equal(['/f']);
    expect(files).to.deep.equal([]);
    expect(containers[1]).to.deep.include({ root: null, env: { A: '1' }, command: ['x'] });
  });

  for (const [pattern, why] of Object.entries(REFUSED_FIELDS)) {
    const at = (value: unknown) =>
      pattern
        .split('.')
        .reverse()
        .reduce<unknown>((inner, part) => {
          const [, key, list] = /^(\w+)(\[\])?$/.exec(part)!;
          return { [key!]: list ? [inner] : inner };
        }, value);
    it(`${pattern} is refused by name, with why; empty it is taken`, () => {
      const { code, field, message } = refusal(at([{ x: 1 }]));
      expect(code).to.equal('NOT_SUPPORTED');
      expect(field).to.equal(pattern.replaceAll('[]', '[0]'));
      expect(message).to.include(why);
      for (const empty of [null, '', [], 0, false, {}]) {
        const rest = refusalOrNothing(at(empty));
        expect(rest?.code).not.to.equal('NOT_SUPPORTED');
      }
    });
  }
  const refusalOrNothing = (input: unknown) => {
    try {
      return refusal(input);
    } catch {
      return undefined;
    }
  };

  const image = '/i';
  const wrong: [string, object, string, RegExp][] = [
    ['an image of a registry', { containers: [{ image: 'busybox' }] }, 'containers[0].image', /not pulled.*busybox/],
    [
      'a volume that there is not',
      { containers: [{ image, volumes: [{ path: '/a', volume: 'x' }] }] },
      'containers[0].volumes[0].volume',
      /"x"/,
    ],
    [
      'a file that there is not',
      { containers: [{ image, files: [{ path: '/a', filename: 'x' }] }] },
      'containers[0].files[0].filename',
      /"x"/,
    ],
    [
      'a permission that is none',
      { files: [{ name: 'f' }], containers: [{ image, files: [{ path: '/a', filename: 'f', perm: '9' }] }] },
      'containers[0].files[0].perm',
      /octal.*"9"/,
    ],
    [
      'a signal that is none',
      { containers: [{ image, stopSignal: 'SIGNOPE' }] },
      'containers[0].stopSignal',
      /SIGNOPE/,
    ],
    ['nothing to run', { containers: [{ name: 'x' }] }, 'containers[0].command', /command/],
    [
      'two containers of a name',
      {
        containers: [
          { name: 'x', image },
          { id: 'x', name: 'y', image },
        ],
      },
      'containers[1].id',
      /own/,
    ],
    [
      'the name of the pod’s own root',
      { rootfs: '/r', containers: [{ name: 'main', image }] },
      'containers[0].id',
      /main/,
    ],
    ['two volumes of a name', { volumes: [{ name: 'v' }, { name: 'v' }] }, 'volumes[1].name', /own/],
    [
      'a place outside',
      { containers: [{ image, volumes: [{ path: '/a/../..', volume: 'x' }] }] },
      'containers[0].volumes[0].path',
      /\.\./,
    ],
    [
      'base64 that is none',
      { files: [{ name: 'f', encoding: 'base64', content: '???' }] },
      'files[0].content',
      /base64/,
    ],
    ['a file of the net', { files: [{ name: 'f', uri: 'https://example.org/f' }] }, 'files[0].uri', /fetched/],
    ['a user without anything to run', { user: 'me' }, 'user', /rootfs/],
    ['two roots at once', { rootfs: { directory: '/a', archive: '/b' } }, 'rootfs', /one of.*directory and archive/],
    ['a size beside a source', { volumes: [{ name: 'v', source: '/x', sizeMib: 64 }] }, 'volumes[0].sizeMib', /source/],
    ['an option of the log', { log: { config: { 'max-sise': '1m' } } }, 'log.config.max-sise', /max-size/],
    ['a limit of none', { command: ['x'], ulimits: [{ name: 'files', hard: 1 }] }, 'ulimits[0].name', /nofile/],
    [
      'a limit twice',
      {
        command: ['x'],
        ulimits: [
          { name: 'as', hard: 1 },
          { name: 'AS', soft: 1 },
        ],
      },
      'ulimits[1].name',
      /own/,
    ],
    [
      'a soft limit above the hard one',
      { command: ['x'], ulimits: [{ name: 'as', hard: 1, soft: -1 }] },
      'ulimits[0].soft',
      /at most.*1/,
    ],
    ['limits of nothing', { ulimits: [{ name: 'as', hard: 1 }] }, 'ulimits', /a command or a rootfs/],
    ['a command of no words', { command: [] }, 'command', /at least one word/],
    ['a container of none', { containers: [{ command: [] }] }, 'containers[0].command', /at least one word/],
    [
      'a variable of no name',
      { env: { 'A=B': 'x' } },
      'env."A=B"',
      /^env\."A=B": expected a name without "=", got "x"/,
    ],
    ['a list of variables', { env: ['A=B'] }, 'env[0]', /^env\[0\]: expected object, got "A=B"/],
    ['a restart policy', { restartPolicy: 'sometimes' }, 'restartPolicy', /never/],
    ['a route by no interface', { routes: [{ destination: '10.0.0.0/8', nic: 'x' }] }, 'routes[0].nic', /eth-default/],
  ];
  for (const [title, input, field, message] of wrong) {
    it(`refuses ${title}, naming the field and the value`, () => {
      const error = refusal(input);
      expect(error).to.include({ code: 'POD_SPEC_INVALID', field });
      expect(error.message).to.match(message);
    });
  }

  for (const format of ['rbd', 'nas', 'vdi']) {
    it(`refuses a volume of ${format} by name, with what to do instead`, () => {
      const error = refusal({ volumes: [{ name: 'v', source: '/x', format }] });
      expect(error).to.include({ code: 'NOT_SUPPORTED', field: 'volumes[0].format' });
    });
  }

  it('a pod with a life of its own cannot be one that ends with its creator', () => {
    expect(() => parseKeptPodSpec({ keep: false }, defaults)).to.throw(/keep/);
    expect(parseKeptPodSpec({}, defaults).keep).to.equal(true);
  });

  it('answers nothing at all but with a pod or a refusal', () => {
    const keys = fc.constantFrom(
      'id',
      'containers',
      'volumes',
      'files',
      'rootfs',
      'env',
      'log',
      'services',
      'image',
      'name',
      'ports',
      'path',
      'user',
      'interfaces',
      '__proto__',
      'x',
    );
    const { value } = fc.letrec((tie) => ({
      value: fc.oneof(
        { maxDepth: 5 },
        fc.string(),
        fc.integer(),
        fc.boolean(),
        fc.constant(null),
        fc.array(tie('value'), { maxLength: 3 }),
        fc.dictionary(keys, tie('value'), { maxKeys: 4 }),
      ),
    }));
    fc.assert(
      fc.property(value, (input) => {
        try {
          parsePodSpec(input, defaults);
        } catch (error) {
          if (!isHyperplugError(error) || (error.code !== 'POD_SPEC_INVALID' && error.code !== 'NOT_SUPPORTED'))
            throw error;
        }
      }),
      { numRuns: 2000 },
    );
  });
});
