import { existsSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import type { Duplex } from 'node:stream';
import { type CallOptions, raceSignal } from '../../core/calls.js';
import { hasCode } from '../../core/errors.js';
import type {
  AttachedNic,
  HypervisorVm,
  PortForward,
  VmEvent,
  VmExit,
  VmNic,
  VmRecord,
  VmState,
} from '../../core/hypervisor.js';
import { noteForHeadStart } from '../../host/head-start.js';
import { VmLife } from '../../host/vmm/vm-life.js';
import type { VmProcess } from '../../host/vmm/vm-process.js';
import { exitReason } from './exit-reason.js';
import { openFifos } from './fifo-channel.js';
import { Mconsole } from './mconsole.js';
import { NicPlug } from './nic-plug.js';
import type { NotificationSource } from './notification-source.js';
import { SlirpNetworks } from './slirp.js';
import type { BegunSlirp, SlirpTools } from './slirp-process.js';
import { SOCKETS_FD, UMID, type UmlRunDir } from './uml-run-dir.js';
import { DRIVER_NAME, type RecordData } from './vm-record.js';

export interface UmlVmParts {
  readonly id: string;
  readonly runDir: UmlRunDir;
  readonly process: VmProcess;
  readonly data: RecordData;
  readonly commandTimeoutMs: number;
  readonly slirpTools: () => Promise<SlirpTools>;
  /** Begun ahead, for the first NIC. */
  readonly slirp?: BegunSlirp | undefined;
  /** What UML tells, from its start on or from now on. */
  readonly notifications: NotificationSource;
  /** Its management console is there, and its console log has a limit; undefined: since long. */
  readonly up?: Promise<void>;
}

/** Long enough for what the guest wrote last to be read. */
const CHANNEL_END_MS = 500;

export class UmlVm implements HypervisorVm {
  readonly id: string;
  readonly netnsPath: string;
  readonly nicPlug: NicPlug;
  readonly #life: VmLife;
  readonly #console: Mconsole;
  readonly #networks: SlirpNetworks;
  readonly #channels = new Map<string, Duplex>();
  readonly #parts: UmlVmParts;

  constructor(parts: UmlVmParts) {
    this.id = parts.id;
    this.#parts = parts;
    const { data, runDir, process, commandTimeoutMs } = parts;
    this.netnsPath = `/proc/${process.identity.pid}/ns/net`;
    // Means the same to both: UML answers to the address that it is asked from.
    const directory = `/proc/${data.main.pid}/fd/${SOCKETS_FD}`;
    const owner = data.user ?? undefined;
    const target = `${directory}/${UMID}/mconsole`;
    this.#console = new Mconsole({ target, directory, owner, up: parts.up, commandTimeoutMs });
    this.#networks = new SlirpNetworks({
      runDir,
      init: process.identity,
      user: data.user,
      tools: parts.slirpTools,
      begun: parts.slirp,
      started: (recipe) => noteForHeadStart(parts.id, JSON.stringify(recipe)),
    });
    const { slots } = data;
    this.nicPlug = new NicPlug(
      this.#console,
      this.#networks,
      { slots, nicsFile: runDir.nicsFile, pid: process.identity.pid },
      (nicId) => this.#life.emit({ type: 'nic-detached', nicId }),
    );
    this.#life = new VmLife({
      ...parts,
      detached: data.detached,
      console: data,
      close: (why) => this.#close(why),
      reasonOf: exitReason,
    });
    parts.notifications.listen(({ type }) => {
      if (type === 'panic') this.#life.tellPanic();
    });
  }

  get exited(): Promise<VmExit> {
    return this.#life.exited;
  }

  get state(): VmState {
    return this.#life.state;
  }

  onEvent(listener: (event: VmEvent) => void): () => void {
    return this.#life.onEvent(listener);
  }

  async openChannel(name: string, options: CallOptions): Promise<Duplex> {
    const index = this.#parts.data.channels.indexOf(name);
    if (index < 0) throw new TypeError(`channel: expected one of ${this.#parts.data.channels.join(', ')}, got ${name}`);
    return this.#life.call(`open channel ${name}`, options, async ({ signal }) => {
      if (this.#parts.up) await raceSignal(this.#parts.up, signal, `open channel ${name}`);
      const channel = openFifos(this.#parts.runDir.channelFifos(index), name);
      channel.on('error', () => {});
      this.#channels.set(name, channel);
      channel.once('close', () => this.#channels.delete(name));
      return channel;
    });
  }

  attachNic(nic: VmNic, options: CallOptions): Promise<AttachedNic> {
    return this.#life.call(`attach NIC ${nic.id}`, options, async (call) => {
      this.#life.mustRun(`attach NIC ${nic.id}`);
      return this.nicPlug.attach(nic, call);
    });
  }

  detachNic(nicId: string, options: CallOptions): Promise<void> {
    return this.#life.call(`detach NIC ${nicId}`, options, async (call) => {
      this.nicPlug.table.find(nicId);
      this.#life.mustRun(`detach NIC ${nicId}`);
      await this.nicPlug.detach(nicId, call);
    });
  }

  addForward(nicId: string, forward: PortForward, options: CallOptions): Promise<void> {
    return this.#life.call(`forward to NIC ${nicId}`, options, (call) => {
      const { slot } = this.nicPlug.table.find(nicId);
      // Who waits for the guest's link waits for the guest.
      this.#life.mustRun(`forward to NIC ${nicId}`);
      return this.#networks.addForward(slot, forward, call);
    });
  }

  removeForward(nicId: string, forward: PortForward, options: CallOptions): Promise<void> {
    return this.#life.call(`forward to NIC ${nicId}`, options, (call) =>
      this.#networks.removeForward(this.nicPlug.table.find(nicId).slot, forward, call),
    );
  }

  nics(): readonly AttachedNic[] {
    return this.nicPlug.table.list();
  }

  pause(options: CallOptions): Promise<void> {
    return this.#life.call('pause', options, async (call) => {
      if (this.#life.state === 'paused') return;
      await writeFile(this.#parts.runDir.pausedFile, '');
      await this.#toggle('stop', call);
      this.#life.setPaused(true);
    });
  }

  resume(options: CallOptions): Promise<void> {
    return this.#life.call('resume', options, async (call) => {
      if (this.#life.state === 'running') return;
      await rm(this.#parts.runDir.pausedFile, { force: true });
      await this.#toggle('go', call);
      this.#life.setPaused(false);
    });
  }

  /** For an adopted VM: UML does not tell whether it is paused, so it is told what the last manager meant, once more. */
  async recover(call: CallOptions): Promise<void> {
    const paused = existsSync(this.#parts.runDir.pausedFile);
    if (!paused) {
      await this.#toggle('go', call);
      await this.nicPlug.recover(call);
      return;
    }
    await this.nicPlug.recover(call);
    await this.#toggle('stop', call);
    this.#life.foundPaused();
  }

  shutdown(options: CallOptions): Promise<VmExit> {
    return this.#life.shutdown(options, (call) => this.#console.command('cad', call));
  }

  kill(options: CallOptions): Promise<VmExit> {
    return this.#life.kill(options);
  }

  async release(): Promise<void> {
    this.#life.release();
  }

  record(): VmRecord {
    const { id, process, runDir, data } = this.#parts;
    return { version: 1, driver: DRIVER_NAME, id, process: process.identity, runDir: runDir.path, data };
  }

  /** "Already stopped", "Not stopped": another manager did it. */
  async #toggle(command: 'stop' | 'go', call: CallOptions): Promise<void> {
    try {
      await this.#console.command(command, call);
    } catch (error) {
      if (!hasCode(error, 'MCONSOLE_ERROR') || !/^(Already|Not) stopped/.test(String(error.details.words))) throw error;
    }
  }

  #close(why: 'exited' | 'released'): void {
    this.#console.close();
    this.#networks.close();
    this.#parts.notifications.close();
    const channels = [...this.#channels.values()];
    const end = () => {
      for (const channel of channels) channel.destroy();
    };
    // They end by themselves once all is read; a reader that does not read is not waited for.
    if (why === 'released') end();
    else if (channels.length > 0) setTimeout(end, CHANNEL_END_MS).unref();
  }
}
