import type { PortForward } from '../../core/hypervisor.js';
import { forwardSource } from './devices.js';

/** The forwards that QEMU's words are about; all of them if it names none. */
export function forwardsNamed(words: string, forwards: readonly PortForward[]): readonly PortForward[] {
  const named = forwards.filter((forward) => words.includes(`'${forwardSource(forward)}-`));
  return named.length > 0 ? named : forwards;
}

/** net/slirp.c: "Could not set up host forwarding rule 'tcp:127.0.0.1:80-10.0.2.15:80'". */
export function tellsOfForward(words: string): boolean {
  return /could not set up host forwarding rule/i.test(words);
}
