import { agentContract, type ContractRunner, channelPair } from 'hyperplug/testing';
import { __CLASS__Agent } from '../src/agent.js';
import { capabilities } from '../src/capabilities.js';

export function contractTests(runner: ContractRunner): void {
  agentContract({
    runner,
    label: '__NAME__',
    capabilities,
    // What a session with the guest's program can do.
    features: {
      nicByMac: false,
      readNetwork: false,
      errorTexts: false,
      streamCredit: false,
      ipv6: false,
      containers: false,
      volumes: false,
      renewal: false,
      stats: false,
    },
    create: () => new __CLASS__Agent(),
    peer() {
      // To do: start the guest's program on this machine (in a network namespace of its own, to give it NICs) and talk
      // to it on the far ends.
      const pairs = capabilities.channels.map(() => channelPair());
      return {
        channels: pairs.map(([near]) => near),
        release() {
          for (const [, far] of pairs) far.destroy();
        },
      };
    },
    // More tests run with more: nicCount and the peer's nics, programs (where the guest has others than a shell's).
  });
}
