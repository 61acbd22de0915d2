import { expect } from 'chai';
import { type ExitEvidence, exitReason } from '../../../../src/plugins/qemu/exit-reason.js';

const evidence: ExitEvidence = {
  killed: false,
  panicked: false,
  shutdownReason: undefined,
  exitCode: 0,
  signal: null,
};

describe('why a VM ended', () => {
  const rows: [Partial<ExitEvidence>, string][] = [
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
