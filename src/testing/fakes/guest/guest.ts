import type { Duplex } from 'node:stream';
import type { JsonValue } from '../../../core/json.js';
import { FAKE_CHANNEL } from '../agent/frames.js';
import { GuestContainers } from './containers.js';
import { GuestConversation } from './conversation.js';
import type { FakeGuestProcess } from './guest-process.js';
import { GuestNetworkState } from './network.js';
import { FAKE_PROGRAMS } from './programs.js';
import type { GuestHardware, GuestOs, Program } from './types.js';

const SIGKILL = 9;

interface SavedGuest {
  readonly hostname: string;
  readonly dns: readonly string[];
  readonly files: readonly (readonly [path: string, base64: string])[];
}

export interface FakeGuestOptions {
  /** By name (argv[0]), in addition to FAKE_PROGRAMS. */
  readonly programs?: Readonly<Record<string, Program>>;
  /** Channels that send back what they get. */
  readonly echoChannels?: readonly string[];
}

/** An operating system in memory: programs, files, a network, and the guest's end of a FakeAgent's conversation. */
export class FakeGuest implements GuestOs {
  readonly network = new GuestNetworkState();
  readonly files = new Map<string, Buffer>();
  readonly programs: Map<string, Program>;
  /** What runs, whoever started it. */
  readonly processes = new Set<FakeGuestProcess>();
  readonly containers = new GuestContainers((name) => this.findProgram(name));
  /** Random bytes that the host has given. */
  readonly entropy: Buffer[] = [];
  /** Milliseconds since 1970, as the host has set it; undefined: it has not. */
  clockMs: number | undefined;
  hostname = '';
  dns: readonly string[] = [];
  /** What the guest does when it is asked for a NIC or to power off: `ignore` holds on. */
  onNicWanted: 'release' | 'ignore' = 'release';
  onPowerButton: 'power-off' | 'ignore' = 'power-off';
  readonly #echo: ReadonlySet<string>;
  readonly #servers = new Map<number, (connection: Duplex) => void>();
  readonly #conversations = new Set<GuestConversation>();
  readonly #arrivals = new Set<() => void>();
  readonly #wanted = new Map<string, () => void>();
  #hardware: GuestHardware | undefined;
  readonly #channels = new Set<Duplex>();
  #paused = false;

  constructor(options: FakeGuestOptions = {}) {
    this.programs = new Map(Object.entries({ ...FAKE_PROGRAMS, ...options.programs }));
    this.#echo = new Set(options.echoChannels ?? []);
  }

  findProgram(path: string): Program | undefined {
    return this.programs.get(path.slice(path.lastIndexOf('/') + 1));
  }

  /** The guest's ends of channels that somebody on the host has open. */
  get openChannels(): ReadonlySet<Duplex> {
    return this.#channels;
  }

  boot(hardware: GuestHardware): void {
    this.#hardware = hardware;
    hardware.console('fake guest: up\n');
  }

  save(): JsonValue {
    const files = [...this.files].map(([path, content]) => [path, content.toString('base64')]);
    return { hostname: this.hostname, dns: this.dns, files };
  }

  goOn(hardware: GuestHardware, saved: JsonValue): void {
    const { files, hostname, dns } = saved as unknown as SavedGuest;
    this.#hardware = hardware;
    Object.assign(this, { hostname, dns });
    for (const [path, content] of files) this.files.set(path, Buffer.from(content, 'base64'));
  }

  /** Answers connections to a port that the hypervisor forwards here. */
  serve(port: number, handler: (connection: Duplex) => void): void {
    this.#servers.set(port, handler);
  }

  accept(port: number, connection: Duplex): boolean {
    const handler = this.#servers.get(port);
    handler?.(connection);
    return handler !== undefined;
  }

  channelOpened(name: string, channel: Duplex): void {
    this.#channels.add(channel);
    channel.on('error', () => {}).on('close', () => this.#channels.delete(channel));
    if (name === FAKE_CHANNEL) this.converse(channel);
    else channel.on('data', (chunk: Buffer) => this.#echo.has(name) && channel.write(chunk));
    if (this.#paused) channel.pause();
  }

  /** Serves a FakeAgent at the other end of `channel`. */
  converse(channel: Duplex): void {
    const conversation = new GuestConversation(this, channel);
    this.#conversations.add(conversation);
    channel.on('close', () => this.#conversations.delete(conversation));
  }

  nicPlugged(nic: { readonly mac: string; readonly mtu: number }): void {
    this.network.plug(nic);
    for (const arrived of [...this.#arrivals]) arrived();
  }

  /** Runs `listener` at each NIC that comes; the returned function stops that. */
  onArrival(listener: () => void): () => void {
    this.#arrivals.add(listener);
    return () => void this.#arrivals.delete(listener);
  }

  nicWanted(mac: string, release: () => void): void {
    this.#wanted.set(mac, release);
    this.#letGo();
  }

  /** Gives back what was asked for, unless it holds on or stands still. */
  #letGo(): void {
    if (this.#paused || this.onNicWanted === 'ignore') return;
    const wanted = [...this.#wanted.values()];
    this.#wanted.clear();
    for (const release of wanted) setImmediate(release);
  }

  /** Lets go of the NICs that it held on to. */
  releaseNics(): void {
    this.onNicWanted = 'release';
    this.#letGo();
  }

  nicUnplugged(mac: string): void {
    this.network.unplug(mac);
    this.#wanted.delete(mac);
  }

  linkUp(mac: string): boolean {
    return this.network.find(mac)?.up ?? false;
  }

  powerButton(): void {
    if (this.onPowerButton === 'power-off') setImmediate(() => this.powerOff());
  }

  powerOff(): void {
    this.#hardware?.powerOff();
  }

  panic(): void {
    this.#hardware?.panic();
  }

  paused(paused: boolean): void {
    this.#paused = paused;
    for (const channel of this.#channels) paused ? channel.pause() : channel.resume();
    if (!paused) this.#letGo();
  }

  halted(): void {
    this.#hardware = undefined;
    this.#wanted.clear();
    for (const conversation of this.#conversations) conversation.hangUp();
    for (const process of this.processes) process.kill(SIGKILL);
  }
}
