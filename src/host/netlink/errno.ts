import { constants } from 'node:os';
import { HyperplugError } from '../../core/errors.js';

const NAMES = new Map(Object.entries(constants.errno).map(([name, number]) => [number, name]));
/** Answered for a bridge without room; not among Node's constants. */
const EXFULL = 54;
NAMES.set(EXFULL, 'EXFULL');

/** What the kernel said to a request; `details.errno` is a name like EEXIST, `details.reason` the extended ACK's text. */
export function kernelError(what: string, errno: number, reason: string | undefined): HyperplugError {
  const name = NAMES.get(errno) ?? `errno ${errno}`;
  return new HyperplugError('NET_KERNEL_REFUSED', `${what}: ${name}${reason ? `: ${reason}` : ''}`, {
    details: { what, errno: name, reason },
  });
}

export function refusedWith(error: unknown, ...names: string[]): boolean {
  return (
    error instanceof HyperplugError &&
    error.code === 'NET_KERNEL_REFUSED' &&
    names.includes(String(error.details.errno))
  );
}
