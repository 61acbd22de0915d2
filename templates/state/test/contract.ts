import { type ContractRunner, stateStoreContract } from 'hyperplug/testing';
import { capabilities } from '../src/capabilities.js';
import { __CLASS__Store } from '../src/store.js';

export function contractTests(runner: ContractRunner): void {
  stateStoreContract({
    runner,
    label: '__NAME__',
    capabilities,
    create: () => new __CLASS__Store(),
    // More tests run with more hooks: attach (another instance over the same data; needed for durable), damage (makes an
    // entry unreadable behind the store's back), failNextCommit, dispose, leftovers.
  });
}
