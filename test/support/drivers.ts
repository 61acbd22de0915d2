import { requireOrSkip } from './require.js';
import { hasUml } from './uml-fixture.js';

export interface TestDriver {
  readonly name: 'qemu' | 'uml';
  /** A part of the command line of its processes. */
  readonly program: string;
  /** As many as a test may ask for. */
  readonly cpus: number;
  /** What goes to a guest in a few seconds. */
  readonly bulkMib: number;
  /** A NIC of its own network can be renamed, for which the guest takes its link down. */
  readonly renamesBuiltin: boolean;
  /** Directories of the host can be shared with its guests. */
  readonly shares: boolean;
}

const DRIVERS: readonly TestDriver[] = [
  { name: 'qemu', program: 'qemu', cpus: 2, bulkMib: 100, renamesBuiltin: true, shares: true },
  { name: 'uml', program: 'linux.uml', cpus: 1, bulkMib: 1, renamesBuiltin: false, shares: false },
];

/** The same tests on each hypervisor. */
export function onEachDriver(title: string, body: (this: Mocha.Suite, driver: TestDriver) => void): void {
  for (const driver of DRIVERS) {
    describe(`${title} (${driver.name})`, function () {
      before(function () {
        requireOrSkip(this, driver.name !== 'uml' || hasUml, 'linux.uml or slirp4netns is not installed');
      });
      body.call(this, driver);
    });
  }
}
