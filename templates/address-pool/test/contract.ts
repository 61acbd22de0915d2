import { addressPoolContract, type ContractRunner } from 'hyperplug/testing';
import { capabilities } from '../src/capabilities.js';
import { __CLASS__Pool } from '../src/pool.js';

export function contractTests(runner: ContractRunner): void {
  addressPoolContract({
    runner,
    label: '__NAME__',
    capabilities,
    create: () => new __CLASS__Pool(),
    // More tests run with more hooks: attach (another instance over the same data; needed for durable), failNextWrite,
    // dispose, leftovers.
  });
}
