import { expect } from 'chai';
import { exitReason, type QemuExitEvidence } from '../../../../src/plugins/qemu/exit-reason.js';

const evidence: QemuExitEvidence = {
  killed: false,
  panicked: false,
  shutdownReason: undefined,
  exitCode: 0,
  signal: null,
  stderrTail: '',
};

describe('why a VM ended', () => {
  const rows: [Partial<QemuExitEvidence>, string][] = [
    [{ killed: true, exitCode: null, signal: 'SIGKILL' }, 'killed'],
    [{ exitCode: null, signal: 'SIGKILL' }, 'killed'],
    [{ exitCode: null, signal: 'SIGSEGV' }, 'crashed'],
    [{ exitCode: null, signal: 'SIGABRT', shutdownReason: 'guest-shutdown' }, 'crashed'],
    [{ exitCode: 1 }, 'crashed'],
    [{ shutdownReason: 'guest-shutdown' }, 'shutdown'],
    [{ shutdownReason: 'guest-reset' }, 'shutdown'],
    [{ shutdownReason: 'guest-reset', panicked: true }, 'panicked'],
    [{ shutdownReason: 'guest-panic' }, 'panicked'],
    [{ shutdownReason: 'host-signal' }, 'killed'],
    [{ shutdownReason: 'host-qmp-quit' }, 'killed'],
    [{}, 'shutdown'],
    [{ exitCode: null }, 'unknown'],
    [{ exitCode: null, shutdownReason: 'guest-shutdown' }, 'shutdown'],
  ];
  for (const [changes, reason] of rows) {
    it(`${JSON.stringify(changes)}: ${reason}`, () => {
      expect(exitReason({ ...evidence, ...changes })).to.equal(reason);
    });
  }
});
