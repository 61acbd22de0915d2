import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ContractRunner } from 'hyperplug/testing';
import { Fabric } from '../src/switch/fabric.js';
import { GATEWAY_MAC, internetChecksum } from '../src/switch/gateway.js';

const ALL = 'ffffffffffff';
const mac = (n: number) => `02000000000${n}`;
const frame = (to: string, from: string, rest: string) => Buffer.from(`${to}${from}${rest}`, 'hex');
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** What a VM is to a port. */
class Plug {
  readonly frames: Buffer[] = [];
  #held: Buffer = Buffer.alloc(0);

  private constructor(readonly socket: Socket) {
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      this.#held = Buffer.concat([this.#held, chunk]);
      while (this.#held.length >= 4 && this.#held.length >= 4 + this.#held.readUInt32BE(0)) {
        const end = 4 + this.#held.readUInt32BE(0);
        this.frames.push(this.#held.subarray(4, end));
        this.#held = this.#held.subarray(end);
      }
    });
  }

  static async into(path: string): Promise<Plug> {
    const socket = connect(path);
    await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    return new Plug(socket);
  }

  send(bytes: Buffer): void {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    this.socket.write(Buffer.concat([length, bytes]));
  }

  async next(): Promise<Buffer> {
    for (let waits = 0; this.frames.length === 0 && waits < 500; waits++) await pause(10);
    const first = this.frames.shift();
    assert.ok(first, 'no frame came');
    return first;
  }
}

export function frameTests({ describe, it, beforeEach, afterEach }: ContractRunner): void {
  describe('frames through the switch', () => {
    let directory: string;
    let fabric: Fabric;
    let plugs: Plug[];
    const make = async (isolated: boolean) => {
      fabric = new Fabric(directory, { gateway: '10.0.0.1', isolated });
      for (const name of ['aa', 'bb', 'cc']) plugs.push(await Plug.into(await fabric.add(name)));
      return plugs as [Plug, Plug, Plug];
    };
    beforeEach(() => {
      directory = mkdtempSync(join(tmpdir(), 'switch-frames-'));
      plugs = [];
    });
    afterEach(() => {
      for (const { socket } of plugs) socket.destroy();
      fabric.close();
      rmSync(directory, { recursive: true });
    });

    it('go to all ports until their receiver is known, and to its port alone from then on', async () => {
      const [a, b, c] = await make(false);
      const hello = frame(ALL, mac(1), '88b5aa');
      a.send(hello);
      assert.deepEqual(await b.next(), hello);
      assert.deepEqual(await c.next(), hello);
      const answer = frame(mac(1), mac(2), '88b5bb');
      b.send(answer);
      assert.deepEqual(await a.next(), answer);
      c.send(frame(mac(2), mac(3), '88b5cc'));
      await b.next();
      assert.equal(a.frames.length, 0, 'a frame for one reached another');
      assert.equal(c.frames.length, 0, 'a frame for one reached another');
    });

    it('of an isolated network reach the gateway alone', async () => {
      const [a, b] = await make(true);
      a.send(frame(ALL, mac(1), `080600010800060400010200000000010a000005${'00'.repeat(6)}0a000001`));
      const answer = await a.next();
      assert.equal(answer.toString('hex', 0, 12), mac(1) + GATEWAY_MAC.toString('hex'));
      assert.equal(answer.toString('hex', 20, 32), `0002${GATEWAY_MAC.toString('hex')}0a000001`);
      assert.equal(b.frames.length, 0);
    });

    it('to the gateway with an echo request are answered, with a checksum that holds', async () => {
      const [a] = await make(false);
      const ip = '45000020000100004001000a0a0000050a000001';
      a.send(frame(GATEWAY_MAC.toString('hex'), mac(1), `0800${ip}08000000123400016869686f`));
      const answer = await a.next();
      assert.equal(answer.toString('hex', 26, 34), '0a0000010a000005');
      const icmp = answer.subarray(34);
      assert.equal(icmp[0], 0);
      assert.equal(internetChecksum(icmp), 0);
      assert.equal(icmp.toString('hex', 4), '123400016869686f');
    });

    it('that no VM can have sent end its connection, and disturb nobody', async () => {
      const [a, b, c] = await make(false);
      const closed = new Promise((resolve) => a.socket.once('close', resolve));
      a.socket.write(Buffer.alloc(8, 0xff));
      await closed;
      b.send(Buffer.from('0102', 'hex'));
      b.send(frame(ALL, mac(2), '88b5dd'));
      assert.equal((await c.next()).toString('hex', 14), 'dd');
    });
  });
}
