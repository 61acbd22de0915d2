import { expect } from 'chai';
import { presentError } from '../../../src/cli/errors.js';
import { painter } from '../../../src/cli/text.js';
import { HyperplugError } from '../../../src/core/errors.js';

const style = { json: false, debug: false, paint: painter(false, {}) };

describe('how errors are told', () => {
  it('causes that say something new, three at most', () => {
    const chain = ['e', 'd', 'c', 'b'].reduce<Error>(
      (cause, text) => new Error(`level ${text}`, { cause }),
      new Error('level f'),
    );
    const error = new HyperplugError('QMP_CLOSED', 'closed: level b', { cause: chain });
    expect(presentError(error, style)).to.equal(
      'hyperplug: QMP_CLOSED: closed: level b\n  because: level c\n  because: level d\n  because: level e\n  …\n',
    );
  });
  it('a cause that is its own does not hang', () => {
    const error = new Error('round');
    (error as { cause?: unknown }).cause = error;
    expect(presentError(error, style)).to.contain('round');
  });
  it('every error of a call that went on', () => {
    const errors = [new HyperplugError('TIMEOUT', 'one'), new Error('two')];
    const text = presentError(
      new HyperplugError('VM_HYPERVISOR_FAILED', 'teardown', { errors, cause: errors[0] }),
      style,
    );
    expect(text).to.equal('hyperplug: VM_HYPERVISOR_FAILED: teardown\n  - TIMEOUT: one\n  - internal error: two\n');
  });
  it('the end of stderr, the reason, and what to do', () => {
    const details = { stderrTail: 'a\nb\n', reason: 'because', fix: 'do it', hint: 'or that' };
    expect(presentError(new HyperplugError('HOST_COMMAND_FAILED', 'x', { details }), style)).to.equal(
      'hyperplug: HOST_COMMAND_FAILED: x\n  reason: because\n  its last words:\n    a\n    b\n  fix: do it\n  fix: or that\n',
    );
  });
  it('what a guest says cannot steer the terminal', () => {
    const details = { reason: '\x1b]0;owned\x07', stderrTail: '\x1b[2J\x9b1m' };
    const text = presentError(
      new HyperplugError('AGENT_REFUSED', 'no\x1b[H\nhyperplug: fake line', { details }),
      style,
    );
    expect(text).to.not.match(/[\x00-\x09\x0b-\x1f\x7f-\x9f]/);
    expect(text).to.match(/^hyperplug: AGENT_REFUSED: no\^\[\[H\^Jhyperplug: fake line\n {2}reason/);
  });
  it('stacks with debug alone', () => {
    const error = new HyperplugError('TIMEOUT', 'x', { cause: new Error('inner') });
    expect(presentError(error, style)).to.not.contain('errors.test');
    expect(presentError(error, { ...style, debug: true }).match(/errors\.test/g)).to.have.length.at.least(2);
  });
  it('a defect is called one', () => {
    expect(presentError(new TypeError('x is undefined'), style)).to.match(
      /^hyperplug: internal error: x is undefined\n.*defect/,
    );
    expect(presentError('text', style)).to.contain('text');
  });
  it('JSON holds code, message, details, causes', () => {
    const error = new HyperplugError('NET_PORT_IN_USE', 'x', { details: { port: 80 }, cause: new Error('inner') });
    expect(JSON.parse(presentError(error, { ...style, json: true }))).to.deep.equal({
      error: { code: 'NET_PORT_IN_USE', message: 'x', details: { port: 80 }, causes: [{ message: 'inner' }] },
    });
  });
  it('colours only on a terminal that wants them', () => {
    expect(painter(true, {})('red', 'x')).to.equal('\x1b[31mx\x1b[0m');
    expect(painter(true, { NO_COLOR: '1' })('red', 'x')).to.equal('x');
    expect(painter(true, { NO_COLOR: '' })('red', 'x')).to.equal('\x1b[31mx\x1b[0m');
    expect(painter(true, { TERM: 'dumb' })('red', 'x')).to.equal('x');
    expect(painter(false, {})('red', 'x')).to.equal('x');
  });
});
