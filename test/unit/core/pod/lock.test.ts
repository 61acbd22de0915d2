import { expect } from 'chai';
import { HyperplugError } from '../../../../src/core/errors.js';
import { underLock } from '../../../../src/core/pod/lock.js';

describe('what is done with the lock of a pod', () => {
  /** How it was released, of which the first counts. */
  const lock = () => {
    const calls: (boolean | undefined)[] = [];
    const release = async (options?: { readonly remove?: boolean }) => void calls.push(options?.remove);
    return { calls, release, [Symbol.asyncDispose]: release };
  };

  it('drops it, and leaves its file', async () => {
    const one = lock();
    expect(await underLock(one, async () => 7)).to.equal(7);
    expect(one.calls).to.deep.equal([undefined]);
    const other = lock();
    const failed = await underLock(other, async () => Promise.reject(new Error('why'))).catch((error) => error);
    expect(failed.message).to.equal('why');
    expect(other.calls).to.deep.equal([undefined]);
  });

  it('removes the file where the pod has gone meanwhile', async () => {
    const one = lock();
    const gone = new HyperplugError('POD_NOT_FOUND', 'no pod p');
    expect(await underLock(one, async () => Promise.reject(gone)).catch((error) => error)).to.equal(gone);
    expect(one.calls[0]).to.equal(true);
  });
});
