import { type ContractRunner, firewallContract } from 'hyperplug/testing';
import { capabilities } from '../src/capabilities.js';
import { __CLASS__Firewall } from '../src/firewall.js';
import { Rules } from '../src/rules.js';

export function contractTests(runner: ContractRunner): void {
  firewallContract({
    runner,
    label: '__NAME__',
    capabilities,
    create: () => new __CLASS__Firewall(),
    // To do: read them by another program than the plugin does (iptables-save, nft list ruleset), in a network namespace
    // of the test's own.
    rules: () => new Rules().read(),
    // More tests run with more hooks: tamper (removes, duplicates, adds rules behind the firewall's back), translate
    // (where the rules send a connection), inject.refuse (makes the kernel refuse the next change).
  });
}
