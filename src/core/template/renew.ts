import { randomBytes } from 'node:crypto';
import type { CallOptions } from '../calls.js';
import { HyperplugError } from '../errors.js';
import type { Vm } from '../vm/vm.js';

const ENTROPY_BYTES = 64;

/**
 * What makes a clone a machine of its own, before anything runs in it: random bytes that no other has, and the time. Its
 * host name comes with STARTPOD, its MAC and addresses with its NICs.
 * @throws NOT_SUPPORTED the agent cannot.
 */
export async function renewGuest({ session }: Vm, call: CallOptions): Promise<void> {
  if (!session.features.renewal) {
    throw new HyperplugError(
      'NOT_SUPPORTED',
      `templates: the agent in the guest (${session.description}) has no renewal`,
    );
  }
  await Promise.all([session.reseed(randomBytes(ENTROPY_BYTES), call), session.setClock(Date.now(), call)]);
}
