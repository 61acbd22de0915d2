import { mkdirSync, readdirSync, rmdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { hasCode, isHyperplugError } from '../../../../src/core/errors.js';
import { restartDelayMs } from '../../../../src/core/pod/life/supervisor.js';
import type { PodDetails, PodEvent } from '../../../../src/core/pod/pods-api.js';
import type { RootImageProvider } from '../../../../src/core/rootfs.js';
import { eventually } from '../../../support/eventually.js';
import { FaultyAgent, refuses } from '../../../support/faulty-agent.js';
import { PodFixture } from '../../../support/pod-fixture.js';

const failure = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => expect.fail('it did not reject'),
    (error: unknown) => error,
  );
const NOTHING = { taps: [], addresses: [] };

/** Images by their paths; disks are files of their size. */
class FakeRootImages implements RootImageProvider {
  readonly built: string[] = [];
  failing: Error | undefined;

  async rootImage(source: { readonly path: string; readonly kind: string }) {
    if (this.failing) throw this.failing;
    this.built.push(`${source.kind} ${source.path}`);
    const config = {
      env: { FROM: 'image' },
      entrypoint: ['echo'],
      cmd: ['of', 'image'],
      workingDirectory: '/srv',
      volumes: [],
      labels: {},
    };
    const path = `${source.path}.image`;
    writeFileSync(path, '');
    return {
      path,
      fsType: 'squashfs',
      digest: `sha256:${source.path.length}00000000000000`,
      sizeBytes: 1,
      config,
    };
  }
  async createDisk({ path, sizeMib }: { readonly path: string; readonly sizeMib: number }) {
    writeFileSync(path, String(sizeMib), { flag: 'a' });
  }
  async prune() {
    return { removed: [], freedBytes: 0 };
  }
}

describe('the containers of a pod', function () {
  this.timeout(60_000);
  let fixture: PodFixture;
  let agent: FaultyAgent;
  let images: FakeRootImages;
  let tree: string;

  beforeEach(() => {
    agent = new FaultyAgent();
    images = new FakeRootImages();
    fixture = new PodFixture({
      agent,
      rootImages: images,
      hypervisor: { disks: { formats: ['raw'], max: 8 }, shares: { max: 8, writable: true } },
    });
    tree = join(fixture.root, 'tree');
    mkdirSync(tree);
  });
  afterEach(async () => {
    agent.always = undefined;
    for (const { id } of await fixture.pods.list()) await fixture.pods.remove(id, { force: true });
    await fixture.manager.close();
    expect(fixture.leftovers()).to.deep.equal([]);
    fixture.dispose();
  });

  const start = async (spec: object): Promise<PodDetails> => {
    await fixture.pods.create({ id: 'p', ...spec });
    return fixture.pods.start('p');
  };
  const states = ({ containers }: PodDetails) =>
    containers.map(({ name, state, exitCode }) => `${name} ${state} ${exitCode}`);
  const log = async (container: string, tail?: number) => {
    const parts: Uint8Array[] = [];
    for await (const part of fixture.pods.logs('p', { container, ...(tail !== undefined && { tail }) }))
      parts.push(part);
    return Buffer.concat(parts).toString();
  };
  const events = async () => {
    const all: PodEvent[] = [];
    for await (const event of fixture.pods.events({ since: 0 })) all.push(event);
    return all.map(({ type, data }) => (data.container ? `${type} ${data.container}` : type));
  };

  it("run what their images say, where the specification does not; a pod's own root is one of them", async () => {
    const details = await start({
      rootfs: tree,
      env: { STAGE: 'test' },
      containers: [
        { name: 'a', image: tree },
        {
          name: 'b',
          image: { directory: tree, layer: { kind: 'disk', sizeMib: 64 } },
          command: ['mine'],
          envs: [{ env: 'FROM', value: 'spec' }],
          workdir: '/w',
          user: '7:8',
        },
        { name: 'c', entrypoint: ['sleep'], command: ['100'] },
      ],
    });
    expect(images.built).to.deep.equal(Array(3).fill(`directory ${tree}`));
    expect(details.containers.map(({ image }) => image)).to.deep.equal([tree, tree, tree, null]);
    const { containers } = await fixture.record();
    expect(containers.map(({ process }) => process?.argv ?? null)).to.deep.equal([
      null,
      ['echo', 'of', 'image'],
      ['echo', 'mine'],
      ['sleep', '100'],
    ]);
    expect(containers[2]?.process).to.deep.include({
      env: { FROM: 'spec', STAGE: 'test' },
      workingDirectory: '/w',
      user: '7',
      group: '8',
    });
    expect(containers[1]?.process).to.deep.include({ env: { FROM: 'image', STAGE: 'test' }, workingDirectory: '/srv' });
    const pod = await fixture.pods.open('p');
    expect((await pod.exec(['printenv', 'STAGE'])).stdout).to.equal('test');
    expect((await pod.exec(['printenv', 'FROM'], { container: 'b' })).stdout).to.equal('spec');
    expect(((await failure(pod.exec(['true'], { container: 'x' }))) as Error).message).to.match(/main, a, b, c/);
    await pod.release();
  });

  it('end: their codes are told and kept; with the last of them the pod has ended, and nothing is held', async () => {
    await start({
      containers: [
        { name: 'a', command: ['exit', '3'] },
        { name: 'b', command: ['echo', 'b'] },
      ],
    });
    const ended = await fixture.pods.wait('p');
    expect(ended).to.deep.include({ state: 'exited', failure: null, nics: [] });
    expect(states(ended)).to.deep.equal(['a exited 3', 'b exited 0']);
    expect(await log('b')).to.equal('b\n');
    expect(fixture.traces()).to.deep.equal(NOTHING);
    expect((await events()).slice(0, 4)).to.deep.equal([
      'created',
      'started',
      'container-started a',
      'container-started b',
    ]);
    expect((await events()).slice(4, 6)).to.have.members(['container-exited a', 'container-exited b']);
    expect((await events()).slice(6)).to.deep.equal(['exited']);
  });

  it('are restarted by their policies, and not once the pod is stopped', async () => {
    await start({
      containers: [
        { name: 'keeps', command: ['sleep', '1000'] },
        { name: 'fails', command: ['exit', '2'], restartPolicy: 'onFailure' },
        { name: 'succeeds', command: ['true'], restartPolicy: 'onFailure' },
        { name: 'always', command: ['true'], restartPolicy: 'always' },
      ],
    });
    await eventually(async () => {
      const { containers } = await fixture.record();
      const restarts = Object.fromEntries(containers.map((each) => [each.name, each.restarts]));
      expect(restarts).to.deep.include({ keeps: 0, succeeds: 0 });
      expect(restarts.fails).to.be.above(1);
      expect(restarts.always).to.be.above(1);
    }, 20_000);
    const stopped = await fixture.pods.stop('p');
    expect(states(stopped)[0]).to.equal('keeps exited 143');
    const before = (await fixture.record()).containers.map(({ restarts }) => restarts);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect((await fixture.record()).containers.map(({ restarts }) => restarts)).to.deep.equal(before);
  });

  it('end while nobody holds the pod: whoever waits sees it, with their codes and their output', async () => {
    await start({ containers: [{ name: 'a', command: ['sleep', '0.3'] }] });
    await fixture.manager.close();
    fixture.restart();
    const ended = await fixture.pods.wait('p');
    expect(ended).to.deep.include({ state: 'exited' });
    expect(states(ended)).to.deep.equal(['a exited 0']);
  });

  it('write: what is kept is bounded, and read by its last lines', async () => {
    await start({
      log: { config: { 'max-size': '4k', 'max-file': '2' } },
      containers: [
        { name: 'flood', command: ['flood', '100000'] },
        { name: 'words', command: ['print', 'one\ntwo\nthree\n', ''] },
        { name: 'keeps', command: ['sleep', '1000'] },
      ],
    });
    await eventually(async () => expect(await log('words')).to.equal('one\ntwo\nthree\n'), 10_000);
    expect(await log('words', 2)).to.equal('two\nthree\n');
    const directory = join((await fixture.record()).dataDir, 'logs/flood');
    await eventually(async () => {
      const names = readdirSync(directory);
      expect(names.length).to.be.within(1, 2);
      for (const name of names) expect(statSync(join(directory, name)).size).to.be.at.most(256 * 1024);
    }, 10_000);
    expect(isHyperplugError(await failure(log('nobody')))).to.equal(true);
  });

  it('volumes and files: what the host has becomes disks and shares, mounted before what needs them', async () => {
    await start({
      volumes: [
        { name: 'made', sizeMib: 32 },
        { name: 'dir', source: tree },
        { name: 'mem', format: 'tmpfs' },
      ],
      files: [{ name: 'f', content: 'hello' }],
      containers: [
        {
          name: 'a',
          command: ['sleep', '1000'],
          volumes: [
            { volume: 'made', path: '/data' },
            { volume: 'dir', path: '/dir', readOnly: true },
          ],
          files: [{ filename: 'f', path: '/etc/f' }],
        },
      ],
    });
    const guest = fixture.guest.containers;
    expect([...guest.volumes.keys()]).to.deep.equal([
      '/run/pod-volumes/made',
      '/run/pod-volumes/dir',
      '/run/pod-volumes/mem',
    ]);
    expect(guest.find('a').setup.mounts).to.deep.equal([
      { source: { kind: 'directory', path: '/run/pod-volumes/made' }, path: '/data', readOnly: false },
      { source: { kind: 'directory', path: '/run/pod-volumes/dir' }, path: '/dir', readOnly: true },
    ]);
    expect(String(guest.find('a').files.get('/etc/f'))).to.equal('hello');
    const { dataDir } = await fixture.record();
    expect(readdirSync(join(dataDir, 'volumes'))).to.deep.equal(['made.img']);
    await fixture.pods.stop('p');
    expect(readdirSync(join(dataDir, 'volumes'))).to.deep.equal(['made.img']);
  });

  for (const step of ['mountVolume', 'newContainer', 'writeFile', 'startContainer'] as const) {
    it(`${step} is refused: nothing of the start is left, and a retry works`, async () => {
      await fixture.pods.create({
        id: 'p',
        volumes: [{ name: 'v', format: 'tmpfs' }],
        containers: [
          { name: 'a', command: ['sleep', '1000'], files: [{ path: '/f', detail: { name: 'f', content: 'x' } }] },
        ],
      });
      agent.plan(step, refuses);
      expect(hasCode(await failure(fixture.pods.start('p')), 'AGENT_REFUSED')).to.equal(true);
      expect(await fixture.pods.inspect('p')).to.deep.include({
        state: 'created',
        containers: [],
        nics: [],
        pid: null,
      });
      expect(fixture.traces()).to.deep.equal(NOTHING);
      expect(states(await fixture.pods.start('p'))).to.deep.equal(['a running null']);
    });
  }

  it('a root that cannot be built, or a source that is not there, is told before anything is made', async () => {
    const gone = join(fixture.root, 'gone');
    mkdirSync(gone);
    await fixture.pods.create({ id: 'p', containers: [{ image: gone }] });
    rmdirSync(gone);
    expect(((await failure(fixture.pods.start('p'))) as Error).message).to.match(/path that is there \(ENOENT\).*gone/);
    images.failing = new Error('broken');
    await fixture.pods.remove('p');
    await fixture.pods.create({ id: 'p', rootfs: tree });
    expect(((await failure(fixture.pods.start('p'))) as Error).message).to.equal('broken');
    expect(fixture.traces()).to.deep.equal(NOTHING);
  });

  for (const [what, spec, code, message] of [
    ['an image', { containers: [{ image: '/nowhere/at/all' }] }, 'POD_SPEC_INVALID', /image of container.*ENOENT/],
    ['a root', { rootfs: '/nowhere', command: ['x'] }, 'POD_SPEC_INVALID', /image of container main.*ENOENT/],
    ['a volume', { volumes: [{ name: 'v', source: '/nowhere' }] }, 'POD_SPEC_INVALID', /source of volume v.*ENOENT/],
    ['a file', { files: [{ name: 'f', uri: 'file:///nowhere', path: '/f' }] }, 'POD_SPEC_INVALID', /uri of file f/],
    ['a network', { network: 'other' }, 'NET_NOT_FOUND', /interfaces\.eth-default\.network: .*default.*"other"/],
    ['an address', { interfaces: [{ ip: '9.9.9.9' }] }, 'IPAM_ADDRESS_OUT_OF_RANGE', /eth-default\.ip: .*9\.9\.9\.9/],
  ] as const) {
    it(`${what} that is not there is refused before there is a pod`, async () => {
      const error = await failure(fixture.pods.create({ id: 'p', ...spec }));
      expect(error).to.include({ code });
      expect((error as Error).message).to.match(message);
      expect(await fixture.pods.list()).to.deep.equal([]);
    });
  }

  it('wait longer each time they end at once, and not after they have run well', () => {
    expect([0, 1, 2, 3, 20].map((restarts) => restartDelayMs(restarts, 5))).to.deep.equal([100, 200, 400, 800, 60_000]);
    expect(restartDelayMs(20, 11_000)).to.equal(100);
  });
});
