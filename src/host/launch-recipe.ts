import { constants } from 'node:fs';
import { basename, dirname } from 'node:path';

/**
 * A step of beginning a VM, as the launcher carries it out (launcher/recipe.c); what fails is undone whole:
 *
 *     boot ID                           of this machine, since which all that the rest follows from is as it was
 *     own PATH                          a directory that is ours alone, or all has failed
 *     lock PATH                         made and locked
 *     directory PATH                    made, if it is not there
 *     new PATH                          made, and removed with all that is in it
 *     macs COUNT                        MAC addresses
 *     uid PARENT VM NAME FIRST COUNT    a user that no other VM below PARENT has, as whose directory PARENT/VM/NAME it counts
 *     readable PATH                     a file, for that user too
 *     room DIRECTORY MIB                free on a file system
 *     socket PATH datagram|stream       that we listen at, for that user
 *     open PATH FLAGS                   inherited by the hypervisor, as descriptor 3, 4 …
 *     fifo PATH                         made, and inherited likewise
 *     note TEXT                         nothing: the driver's own, for whoever takes the VM over
 *     start ARGUMENT …                  the launcher itself, confining what it becomes
 */
export type Step = readonly [name: string, ...words: (string | number)[]];

/** What a VM has of its own, as it stands in a recipe. */
const OWN_UID = '##uid##';
const OWN_PID = '##pid##';

/** The flags that a console's file is opened with: what was there stays. */
export const APPEND = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW;

/** Of a run directory's sockets, for a user of the VM's own. */
export const uidStep = (
  sockets: string,
  { first, count }: { readonly first: number; readonly count: number },
): Step => ['uid', dirname(dirname(sockets)), basename(dirname(sockets)), basename(sockets), first, count];

/** @param argv of the launcher, as it was for a VM of this process. */
export function startStep([, ...args]: readonly string[], uid: number | undefined): Step {
  const own = new Map([
    [`--parent=${process.pid}`, `--parent=${OWN_PID}`],
    [`--uid=${uid}`, `--uid=${OWN_UID}`],
    [`--gid=${uid}`, `--gid=${OWN_UID}`],
  ]);
  const options = args.indexOf('--');
  return ['start', ...args.map((word, index) => (index < options ? (own.get(word) ?? word) : word))];
}

/** As the launcher reads it: before the words of a step stands how many they are, each ends with a zero. */
export const encodeRecipe = (steps: readonly Step[]): string =>
  steps
    .flatMap((step) => [step.length, ...step])
    .map((word) => `${word}\0`)
    .join('');

const NOTE = '2\0note\0';

/** In place of the one that there was, at the end. */
export const withNote = (recipe: string, text: string): string =>
  `${recipe.split(NOTE)[0]}${encodeRecipe([['note', text]])}`;

export const noteIn = (recipe: string): string | undefined => recipe.split(NOTE)[1]?.slice(0, -1);
