import { readFileSync } from 'node:fs';
import { type Duplex, duplexPair } from 'node:stream';
import { expect } from 'chai';
import type { GuestProcess, GuestSession } from '../../../../src/core/agent.js';
import { ControlDecoder } from '../../../../src/plugins/hyperstart/control-codec.js';
import { COMMAND } from '../../../../src/plugins/hyperstart/protocol.gen.js';
import { rejects } from '../../../support/rejects.js';
import { calls, command, newAgent, outcome } from './connect.js';

interface Recorded {
  readonly from: 'guest' | 'host';
  readonly channel: 'control' | 'streams';
  readonly hex: string;
}

/** A session with an original hyperstart, as it went over the wire. */
const SESSION: readonly Recorded[] = JSON.parse(
  readFileSync(new URL('../../../../../test/fixtures/hyperstart-4244-session.json', import.meta.url), 'utf8'),
);

/** Plays the guest of the recording: after each command that comes, what the original answered to its like. */
class Recording {
  readonly channels: readonly [Duplex, Duplex];
  readonly #control: Duplex;
  readonly #streams: Duplex;
  /** What the client sent. */
  readonly sent: { code: number; payload: string }[] = [];
  #at = 0;
  /** Of the process that runs: recorded → ours. */
  #ids = new Map<string, string>();
  #sequences = new Map<string, string>();

  constructor() {
    const [hostControl, control] = duplexPair();
    const [hostStreams, streams] = duplexPair();
    this.channels = [hostControl, hostStreams];
    this.#control = control;
    this.#streams = streams;
    const decoder = new ControlDecoder(65_536, (code, payload) => this.#command(code, payload));
    control.on('data', (chunk: Buffer) => decoder.push(chunk));
    streams.resume();
    this.#answer();
  }

  #command(code: number, payload: Buffer): void {
    this.sent.push({ code, payload: payload.toString() });
    // The rounds that pace stdin; the recording has none.
    if (code === COMMAND.PING && this.sent.filter((message) => message.code === code).length > 1) {
      this.#control.write(Buffer.from('0000000900000008', 'hex'));
      return;
    }
    for (; ; this.#at += 1) {
      const next = SESSION[this.#at]!;
      if (next.from !== 'host' || next.channel !== 'control') continue;
      const wire = Buffer.from(next.hex, 'hex');
      if (wire.readUInt32BE(0) === code && this.#same(code, wire.subarray(8).toString(), payload.toString())) break;
    }
    this.#at += 1;
    this.#answer();
  }

  /** Whether the recorded command is the one that came; takes notes of the names in it. */
  #same(code: number, recorded: string, came: string): boolean {
    if (code !== COMMAND.EXECCMD) return code !== COMMAND.SETUPINTERFACE || recorded === came;
    const [theirs, ours] = [JSON.parse(recorded).process, JSON.parse(came).process];
    if (JSON.stringify(theirs.args) !== JSON.stringify(ours.args)) return false;
    this.#ids = new Map([[theirs.id, ours.id]]);
    const hex = (sequence: number) => sequence.toString(16).padStart(16, '0');
    this.#sequences = new Map(['stdio', 'stderr'].map((key) => [hex(theirs[key]), hex(ours[key])]));
    return true;
  }

  /** Sends all that the guest sent before the next command. */
  #answer(): void {
    for (; SESSION[this.#at] && SESSION[this.#at]!.from === 'guest'; this.#at += 1) this.#send(SESSION[this.#at]!);
    // Input of the host on the streams channel does not end an answer.
    if (SESSION[this.#at]?.channel === 'streams') {
      this.#at += 1;
      this.#answer();
    }
  }

  #send({ channel, hex }: Recorded): void {
    if (channel === 'streams') {
      this.#streams.write(Buffer.from(this.#sequences.get(hex.slice(0, 16))! + hex.slice(16), 'hex'));
      return;
    }
    let wire = Buffer.from(hex, 'hex');
    if (wire.readUInt32BE(0) === COMMAND.PROCESSASYNCEVENT) {
      const event = JSON.parse(wire.subarray(8).toString());
      const body = Buffer.from(JSON.stringify({ ...event, process: this.#ids.get(event.process) }));
      wire = Buffer.concat([wire.subarray(0, 8), body]);
      wire.writeUInt32BE(wire.length, 4);
    }
    this.#control.write(wire);
  }
}

describe('hyperstart session with the recording of an original', () => {
  let recording: Recording;
  let session: GuestSession;

  before(async () => {
    recording = new Recording();
    session = await newAgent().connect(
      { channels: recording.channels, creditWindowBytes: null, resumed: false },
      calls(),
    );
  });

  after(() => session.close());

  const run = (...argv: string[]): Promise<GuestProcess> => session.exec(command(...argv), calls());

  it('goes as it went', async () => {
    expect(session.description).to.equal('hyperstart 4244');
    await session.ping(calls());
    const root = 'uid=0(root) gid=0(root) groups=0(root)\n';
    expect(await outcome(await run('/bin/id'))).to.deep.equal({ stdout: root, stderr: '', exitCode: 0 });
    await session.startPod({ hostname: 'pod1', dns: ['10.77.0.1'], dnsOptions: [], dnsSearch: [] }, calls());
    const nic = { mac: '52:54:00:77:00:0a', expectedName: 'eth0', removeAddresses: [] };
    const addAddresses = [{ address: '10.77.0.10', prefixLength: 24 }];
    await session.setupInterface({ ...nic, addAddresses, name: 'eth0', mtu: 1450 }, calls());
    await session.addRoutes([{ destination: 'default', gateway: '10.77.0.1', mac: nic.mac }], calls());
    const route = recording.sent.find(({ code }) => code === COMMAND.SETUPROUTE)?.payload;
    expect(route).to.equal('{"routes":[{"dest":"default","gateway":"10.77.0.1","device":"eth0"}]}');
    const mixed = await outcome(await run('/bin/sh', '-c', 'id; uname -a; echo err >&2; exit 7'));
    expect(mixed).to.deep.include({ stderr: 'err\n', exitCode: 7 });
    expect(mixed.stdout).to.match(/^uid=0.*\nLinux .*\n$/);
    const cat = await run('/bin/cat');
    expect(await outcome(cat)).to.deep.equal({ stdout: 'hello stdin\n', stderr: '', exitCode: 0 });
    const argv = ['/bin/sh', '-c', 'tty; ls /sys/class/net'];
    const terminal = await session.exec({ ...command(...argv), terminal: true }, calls());
    expect(await outcome(terminal)).to.deep.equal({ stdout: '/dev/pts/0\r\neth0  lo\r\n', stderr: '', exitCode: 0 });
    const missing = { mac: '52:54:00:77:00:0b', expectedName: 'eth9', addAddresses: [], removeAddresses: [], mtu: 0 };
    await rejects(session.setupInterface(missing, calls()), 'AGENT_REFUSED', 'eth9', 'gives no reason');
    expect(await outcome(await run('/nope'))).to.deep.equal({
      stdout: '',
      stderr: 'exec failed: No such file or directory\n',
      exitCode: 127,
    });
    await session.destroyPod(calls());
  });
});
