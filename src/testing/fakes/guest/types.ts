import type { Duplex, Readable, Writable } from 'node:stream';
import type { TerminalSize } from '../../../core/agent.js';
import type { JsonValue } from '../../../core/json.js';

/** What a program of a FakeGuest is given. */
export interface ProgramIo {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly workingDirectory: string;
  readonly user: string;
  readonly stdin: Readable;
  readonly stdout: Writable;
  readonly stderr: Writable;
  /** Undefined without a terminal; follows resizing. */
  readonly terminal: TerminalSize | undefined;
  /** Fires when a signal ends the process: clean up, the exit status is settled. */
  readonly killed: AbortSignal;
}

/** Resolves with the exit code. */
export type Program = (io: ProgramIo) => Promise<number> | number;

/** The machine around a FakeGuest: what the hypervisor lets it do. */
export interface GuestHardware {
  powerOff(): void;
  panic(): void;
  console(text: string): void;
}

/** What a hypervisor needs of a guest. */
export interface GuestOs {
  boot(hardware: GuestHardware): void;
  /** All that a clone goes on with. */
  save(): JsonValue;
  /** In place of boot(), for a clone: as the guest was that was saved. */
  goOn(hardware: GuestHardware, saved: JsonValue): void;
  /** Somebody on the host has opened a channel. */
  channelOpened(name: string, channel: Duplex): void;
  nicPlugged(nic: { readonly id: string; readonly mac: string; readonly mtu: number }): void;
  /** The hypervisor asks for a NIC back; `release` says that the guest lets go. */
  nicWanted(mac: string, release: () => void): void;
  /** The NIC is gone. */
  nicUnplugged(mac: string): void;
  linkUp(mac: string): boolean;
  powerButton(): void;
  paused(paused: boolean): void;
  /** The power is gone. */
  halted(): void;
  /** A connection to a forwarded port. False: nothing listens. */
  accept(port: number, connection: Duplex): boolean;
}
