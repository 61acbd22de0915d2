import type { Duplex } from 'node:stream';
import { CHANNEL } from '../../src/plugins/hyperstart/protocol.gen.js';
import { FakeGuest } from '../../src/testing/index.js';
import { FakeAgent, type FakeAgentOptions } from './fake-agent/peer.js';

/** A guest of a FakeHypervisor that speaks hyperstart's own protocol, and can be made to lie in it. */
export class HyperstartGuest extends FakeGuest {
  readonly agent: FakeAgent;
  readonly #channels: readonly Duplex[];

  constructor(options: FakeAgentOptions = {}) {
    super();
    this.agent = new FakeAgent(options);
    this.#channels = [...this.agent.channels];
    for (const channel of this.#channels) channel.on('error', () => {});
  }

  override channelOpened(name: string, channel: Duplex): void {
    const end = this.#channels[name === CHANNEL.control ? 0 : 1] as Duplex;
    channel.on('error', () => {}).on('close', () => end.destroy());
    end.on('close', () => channel.destroy());
    channel.pipe(end).pipe(channel);
  }

  override nicPlugged(nic: { readonly mac: string; readonly mtu: number }): void {
    super.nicPlugged(nic);
    this.agent.network.plug(nic.mac);
  }

  override halted(): void {
    super.halted();
    this.agent.die();
  }
}
