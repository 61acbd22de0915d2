import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'chai';
import { silentProgress } from '../../../src/core/progress.js';
import { PackageStore } from '../../../src/host/debian/packages.js';
import type { ToolProvider } from '../../../src/host/tools.js';
import { netlinkOptions } from '../../../src/plugins/netlink/options.js';
import {
  type Bench,
  callFor,
  madeLinks,
  networkSpec,
  savedRules,
  startBackend,
} from '../../support/netlink-backend.js';
import { TestNamespace } from '../../support/netns.js';
import { requireOrSkip } from '../../support/require.js';

const MAC = '020000000001';
const VNET_HEADER_BYTES = 12;
const LIBRARIES = ['usr/lib/x86_64-linux-gnu', 'lib/x86_64-linux-gnu'];

/** A whole switch of its own: database and daemon of Debian's packages, unpacked, with their files in one folder. */
class OpenVswitchHost {
  readonly #env: NodeJS.ProcessEnv;

  constructor(
    private readonly root: string,
    private readonly folder: string,
    private readonly namespace: TestNamespace,
  ) {
    const libraries = LIBRARIES.map((path) => join(root, path)).join(delimiter);
    const place = { OVS_RUNDIR: folder, OVS_LOGDIR: folder, OVS_DBDIR: folder, OVS_SYSCONFDIR: folder };
    this.#env = { ...process.env, ...place, LD_LIBRARY_PATH: libraries };
  }

  start(): void {
    const { folder, root } = this;
    const database = join(folder, 'conf.db');
    this.run('usr/bin/ovsdb-tool', 'create', database, join(root, 'usr/share/openvswitch/vswitch.ovsschema'));
    const detached = (name: string) => ['--detach', '--no-chdir', `--pidfile=${folder}/${name}.pid`, '-vconsole:off'];
    this.run('usr/sbin/ovsdb-server', database, `--remote=punix:${folder}/db.sock`, ...detached('ovsdb'));
    this.vsctl('--no-wait', 'init');
    this.run('usr/lib/openvswitch-switch/ovs-vswitchd', `unix:${folder}/db.sock`, ...detached('vswitchd'));
  }

  vsctl(...args: string[]): string {
    return this.run('usr/bin/ovs-vsctl', '--timeout=20', ...args);
  }

  /** ovs-vsctl as the backend finds it. */
  tools(fallback: ToolProvider): ToolProvider {
    const env = Object.fromEntries(Object.entries(this.#env).filter(([name]) => /^OVS_|^LD_/.test(name)));
    const path = join(this.root, 'usr/bin/ovs-vsctl');
    return {
      locate: async (name, options) =>
        name === 'ovs-vsctl'
          ? { name, path, origin: 'unpacked', env: env as Record<string, string> }
          : fallback.locate(name, options),
    };
  }

  stop(): void {
    for (const name of ['vswitchd', 'ovsdb']) {
      const file = join(this.folder, `${name}.pid`);
      if (existsSync(file)) process.kill(Number(readFileSync(file, 'utf8')));
    }
  }

  private run(program: string, ...args: string[]): string {
    const argv = ['netns', 'exec', this.namespace.name, join(this.root, program), ...args];
    const result: SpawnSyncReturns<string> = spawnSync('ip', argv, {
      encoding: 'utf8',
      env: this.#env,
      timeout: 60_000,
    });
    if (result.status !== 0) throw new Error(`${program} ${args.join(' ')}: ${result.stderr}`);
    return result.stdout;
  }
}

/** What answers ARP and ICMP echo requests at the end of a tap. */
class Guest {
  readonly #mac = Buffer.from(MAC, 'hex');
  readonly #address: Buffer;

  constructor(
    private readonly fd: number,
    address: string,
  ) {
    this.#address = Buffer.from(address.split('.').map(Number));
  }

  answerAll(): void {
    for (let frame = this.#read(); frame; frame = this.#read()) {
      const answer = this.#answer(frame.subarray(VNET_HEADER_BYTES));
      if (answer) writeSync(this.fd, Buffer.concat([Buffer.alloc(VNET_HEADER_BYTES), answer]));
    }
  }

  #read(): Buffer | undefined {
    const frame = Buffer.alloc(2048);
    try {
      return frame.subarray(0, readSync(this.fd, frame, 0, frame.length, null));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return undefined;
      throw error;
    }
  }

  #answer(frame: Buffer): Buffer | undefined {
    const back = Buffer.concat([frame.subarray(6, 12), this.#mac, frame.subarray(12)]);
    const type = frame.readUInt16BE(12);
    if (type === 0x0806 && frame.readUInt16BE(20) === 1 && frame.subarray(38, 42).equals(this.#address)) {
      back.writeUInt16BE(2, 20);
      frame.copy(back, 32, 22, 32);
      this.#mac.copy(back, 22);
      this.#address.copy(back, 28);
      return back;
    }
    if (type !== 0x0800 || frame[23] !== 1 || frame[34] !== 8) return undefined;
    frame.copy(back, 26, 30, 34);
    frame.copy(back, 30, 26, 30);
    // Echo reply is type 0, which leaves 0x0800 less in its sum.
    back.writeUInt8(0, 34);
    const sum = back.readUInt16BE(36) + 0x0800;
    back.writeUInt16BE((sum & 0xffff) + (sum >> 16), 36);
    return back;
  }
}

describe('a network on Open vSwitch', function () {
  this.timeout(300_000);
  let cache: string;
  let folder: string;
  let namespace: TestNamespace;
  let host: OpenVswitchHost;
  let bench: Bench;

  before(async function () {
    requireOrSkip(this, TestNamespace.unavailable() === undefined, TestNamespace.unavailable() ?? '');
    cache = mkdtempSync(join(tmpdir(), 'hyperplug-packages-'));
    folder = mkdtempSync(join(tmpdir(), 'hyperplug-ovs-'));
    const request = { label: 'openvswitch', packages: ['openvswitch-switch'], dependencies: true };
    const options = { signal: AbortSignal.timeout(240_000), progress: silentProgress };
    const found = await new PackageStore(cache).provide(request, options).catch((error: Error) => error);
    requireOrSkip(this, !(found instanceof Error), `Open vSwitch cannot be had: ${found}`);
    if (found instanceof Error) return;
    namespace = new TestNamespace();
    host = new OpenVswitchHost(found.root, folder, namespace);
    host.start();
  });
  afterEach(() => bench?.stop());
  after(() => {
    host?.stop();
    namespace?.delete();
    for (const path of [cache, folder]) if (path) rmSync(path, { recursive: true, force: true });
  });

  it('a tap on a VLAN of a bridge made for it: the gateway pings who is at its end; all of it goes', async () => {
    const attach = { default: { kind: 'openvswitch', vlan: 7, bridgeOptions: ['datapath_type=netdev'] } };
    const options = { attach: netlinkOptions.parse({ attach }).attach };
    bench = await startBackend({ namespace, directory: folder, options, tools: (real) => host.tools(real) });
    const { backend } = bench;
    const [, diagnosis] = (await backend.diagnose?.(callFor())) ?? [];
    expect(diagnosis).to.deep.include({ id: 'netlink.openvswitch', status: 'ok' });
    expect(diagnosis?.summary).to.include('for default');
    const specs = [networkSpec({ mtu: 1400 })];
    for (let times = 0; times < 2; times++) await backend.init(specs, callFor());
    expect(host.vsctl('br-get-external-id', 'hyper0', 'hyperplug-network').trim()).to.equal('default');
    expect(host.vsctl('get', 'port', 'hyper0', 'tag').trim()).to.equal('7');

    const lease = await backend.allocateAddress(
      { network: 'default', podId: 'p', nicId: 'n', addresses: [] },
      callFor(),
    );
    const nic = await backend.attach(
      {
        podId: 'p',
        nicId: 'n',
        mac: '02:00:00:00:00:01',
        mtu: 1400,
        queues: 1,
        lease,
        ports: [],
        endpoint: 'tap-fd',
      },
      callFor(),
    );
    const { device } = nic.record.data as { device: string };
    expect(host.vsctl('list-ports', 'hyper0').split('\n')).to.include(device);
    expect(host.vsctl('get', 'port', device, 'tag').trim()).to.equal('7');
    expect((await backend.status(callFor())).flatMap(({ drift }) => drift)).to.deep.equal([]);

    const fd = nic.endpoint.kind === 'tap-fd' ? (nic.endpoint.fds[0] as number) : -1;
    const address = lease.addresses[0]?.address as string;
    const ping = spawn('ip', ['netns', 'exec', namespace.name, 'ping', '-c', '1', '-W', '20', address], {
      stdio: 'ignore',
    });
    const gone = new Promise<number | null>((resolve) => ping.once('exit', resolve));
    const guest = new Guest(fd, address);
    while (ping.exitCode === null) {
      guest.answerAll();
      await delay(20);
    }
    expect(await gone, 'ping').to.equal(0);

    await backend.detach(nic.record, callFor());
    await nic.handedOver();
    expect(host.vsctl('list-ports', 'hyper0').trim()).to.equal('');
    await backend.teardown('default', callFor());
    expect(host.vsctl('list-br').trim()).to.equal('');
    expect(madeLinks(namespace).filter((name) => name !== 'ovs-netdev')).to.deep.equal([]);
    expect(savedRules(namespace)).to.deep.equal([]);
  });
});
