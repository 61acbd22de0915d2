import { expect } from 'chai';
import { HyperplugError, isHyperplugError } from '../../../src/core/errors.js';
import { UndoStack } from '../../../src/core/undo.js';

describe('UndoStack', () => {
  it('undoes in reverse, carries on past failures and returns them', async () => {
    const done: string[] = [];
    const undo = new UndoStack();
    for (const name of ['a', 'b', 'c']) {
      undo.push(name, async () => {
        done.push(name);
        if (name === 'b') throw new Error('b sticks');
      });
    }
    const errors = await undo.unwind();
    expect(done).to.deep.equal(['c', 'b', 'a']);
    expect(errors.map(String)).to.deep.equal(['Error: b sticks']);
    expect(await undo.unwind()).to.deep.equal([]);
    expect(done).to.have.length(3);
  });

  it('keeps what tells of leftovers when an undo failed', async () => {
    const done: string[] = [];
    const undo = new UndoStack();
    undo.pushWhenClean('record', async () => done.push('record'));
    undo.push('tap', () => Promise.reject(new Error('busy')));
    await undo.unwind();
    expect(done).to.deep.equal([]);
    undo.pushWhenClean('record', async () => done.push('record'));
    undo.push('tap', async () => done.push('tap'));
    await undo.unwind();
    expect(done).to.deep.equal(['tap', 'record']);
  });

  it('gives an undo that hangs a deadline', async () => {
    const undo = new UndoStack(20);
    undo.push(
      'hangs',
      ({ signal }) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
    );
    const [error] = await undo.unwind();
    expect(isHyperplugError(error) && error.code).to.equal('TIMEOUT');
  });

  it('fails with the cause alone when all was undone, else with every error and the cause first', async () => {
    const cause = new HyperplugError('VM_HYPERVISOR_FAILED', 'no kernel');
    const undo = new UndoStack();
    expect(await undo.fail('POD_CLEANUP_FAILED', 'pod x', cause)).to.equal(cause);
    undo.push('tap', () => Promise.reject(new Error('busy')));
    const error = await undo.fail('POD_CLEANUP_FAILED', 'pod x', cause);
    if (!isHyperplugError(error)) throw new Error('expected a HyperplugError');
    expect(error.code).to.equal('POD_CLEANUP_FAILED');
    expect(error.cause).to.equal(cause);
    expect(error.errors).to.have.length(2);
    expect(error.message).to.include('no kernel').and.include('busy');
  });
});
