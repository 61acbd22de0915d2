import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import type { ERROR_CODES } from '../../src/core/error-codes.js';
import type { FailureOutcome } from '../support/kill-matrix/failures.js';
import { TestNamespace } from '../support/netns.js';
import { requireOrSkip } from '../support/require.js';

const program = fileURLToPath(new URL('../support/kill-matrix/failures.js', import.meta.url));

type Code = keyof typeof ERROR_CODES | 'none';

/** What is broken → what the error may be, and what it has to say. */
const EXPECTED: Readonly<Record<string, readonly [codes: readonly Code[], says: RegExp]>> = {
  'disk of the state full': [['STATE_UNAVAILABLE', 'HOST_IO'], /free space there: |no space left/i],
  'disk of the runtime directory full': [['HOST_IO', 'STATE_UNAVAILABLE', 'VM_HYPERVISOR_FAILED'], /./],
  'state read-only': [['STATE_UNAVAILABLE', 'NET_INIT_FAILED'], /read-only file system/],
  'iptables broken': [['FIREWALL_FAILED', 'NET_INIT_FAILED'], /iptables/],
  'bridge deleted under us': [['NET_INIT_FAILED'], /bridge hyper0 is not there: net repair/],
  'too many open files': [
    ['HOST_IO', 'HOST_PERMISSION', 'STATE_UNAVAILABLE', 'POD_CLEANUP_FAILED'],
    /EMFILE|too many open files/i,
  ],
  // Nothing goes by it.
  'clock stepped': [['none'], /^undefined$/],
  'lock of the networks held': [['TIMEOUT'], /network\.lock is held by process \d+ \(a test that holds it\)/],
  'lock of the pod held': [['POD_BUSY'], /held by process \d+ \(a test that holds it\)/],
  'lock of the state held': [['TIMEOUT'], /was held by process \d+ \(a test that holds it\)/],
};

describe('what fails under a manager that lives on', function () {
  this.timeout(180_000);
  let child: ChildProcessByStdio<null, Readable, null>;
  let lines: AsyncIterator<string>;

  before(function () {
    const reason = TestNamespace.unavailable();
    requireOrSkip(this, reason === undefined, reason ?? '');
    // One process does them all, each with a state and a namespace of its own, and tells of each when it is done.
    const argv = ['-m', '--propagation', 'private', process.execPath, program, ...Object.keys(EXPECTED)];
    child = spawn('unshare', argv, { stdio: ['ignore', 'pipe', 'inherit'], timeout: 600_000 });
    lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  });
  after(() => child?.kill('SIGKILL'));

  for (const [name, [codes, says]] of Object.entries(EXPECTED)) {
    it(`${name}: a clear error, nothing half made, and mended the same manager goes on`, async () => {
      const outcome = JSON.parse((await lines.next()).value ?? '{}') as FailureOutcome & { readonly name: string };
      expect(outcome.name).to.equal(name);
      expect(codes, outcome.message).to.include(outcome.code);
      expect(outcome.message).to.match(says);
      expect(outcome.left).to.deep.equal([]);
      expect(outcome.mended).to.equal('ok');
    });
  }
});
