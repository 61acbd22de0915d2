import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { GATEWAY_MAC, gatewayAnswer } from './gateway.js';
import { Port } from './port.js';

const MIN_FRAME_BYTES = 14;
/** A guest can make up as many senders as it likes. */
const MAX_LEARNED = 4096;

/** The ports of one network, and which addresses were seen on which. */
export class Fabric {
  readonly #ports = new Map<string, Port>();
  readonly #learned = new Map<string, Port>();
  readonly #gateway: Buffer;

  constructor(
    readonly directory: string,
    readonly settings: { readonly gateway: string; readonly isolated: boolean },
  ) {
    this.#gateway = Buffer.from(settings.gateway.split('.').map(Number));
  }

  get ports(): string[] {
    return [...this.#ports.keys()].sort();
  }

  /** Idempotent. Resolves to where the VM connects. */
  async add(name: string): Promise<string> {
    const there = this.#ports.get(name);
    if (there) return there.path;
    const path = join(this.directory, `${name}.sock`);
    // Of a switch that was killed.
    rmSync(path, { force: true });
    const port = await Port.open(path, (frame, from) => this.forward(frame, from));
    this.#ports.set(name, port);
    return path;
  }

  remove(name: string): void {
    const port = this.#ports.get(name);
    this.#ports.delete(name);
    for (const [mac, at] of this.#learned) if (at === port) this.#learned.delete(mac);
    port?.close();
  }

  forward(frame: Buffer, from: Port): void {
    if (frame.length < MIN_FRAME_BYTES) return;
    const [to, sender] = [frame.toString('hex', 0, 6), frame.toString('hex', 6, 12)];
    this.#learn(sender, from);
    const forAll = ((frame[0] ?? 0) & 1) === 1;
    if (forAll || frame.subarray(0, 6).equals(GATEWAY_MAC)) {
      const answer = gatewayAnswer(frame, this.#gateway);
      if (answer) from.send(answer);
    }
    if (this.settings.isolated) return;
    const known = forAll ? undefined : this.#learned.get(to);
    for (const port of known ? [known] : this.#ports.values()) if (port !== from) port.send(frame);
  }

  #learn(mac: string, port: Port): void {
    // The sender of a frame is one station, never a group.
    if ((Number.parseInt(mac.slice(0, 2), 16) & 1) === 1 || this.#learned.get(mac) === port) return;
    if (this.#learned.size >= MAX_LEARNED) this.#learned.delete(this.#learned.keys().next().value as string);
    this.#learned.set(mac, port);
  }

  close(): void {
    for (const name of this.ports) this.remove(name);
  }
}
