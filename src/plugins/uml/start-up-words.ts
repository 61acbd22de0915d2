import type { VmProcess } from '../../host/vmm/vm-process.js';

/** What UML writes to standard error at every start, when all is well (arch/um/os-Linux/start_up.c and mem.c of Linux 6.1). */
const START_UP = [
  /^Core dump limits :$/,
  /^\t(soft|hard) - \S+$/,
  /^Checking .*\.\.\.(OK|none found|found \S+)$/,
  /^Adding \d+ bytes to physical memory to account for exec-shield gap$/,
];

/** Less what it says at every start: that is no cause of its end. */
export const withoutStartUp = (text: string): string =>
  text
    .split('\n')
    .filter((line) => !START_UP.some((known) => known.test(line)))
    .join('\n');

/** A UML whose last words are those that tell of its end. */
export const umlProcess = (process: VmProcess): VmProcess => ({
  ...process,
  stderrTail: async () => withoutStartUp(await process.stderrTail()),
});
