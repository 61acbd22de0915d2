import { type ContractRunner, networkContract } from 'hyperplug/testing';
import { __CLASS__Backend } from '../src/backend.js';
import { capabilities } from '../src/capabilities.js';

const network = { mtu: null, isolated: false, dns: [] };

export function contractTests(runner: ContractRunner): void {
  networkContract({
    runner,
    label: '__NAME__',
    capabilities,
    create: () => new __CLASS__Backend(),
    networks: [
      { ...network, name: 'contract', subnets: ['10.213.1.0/24'] },
      { ...network, name: 'contract-2', subnets: ['10.213.2.0/24'] },
    ],
    // More tests run with more hooks: host (what the operating system has of this backend: give it), inject (makes init
    // and attach fail on their way), tamper (changes a network behind the backend's back).
  });
}
