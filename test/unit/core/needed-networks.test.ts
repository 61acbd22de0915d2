import { expect } from 'chai';
import type { UserCallOptions } from '../../../src/core/calls.js';
import { HyperplugError } from '../../../src/core/errors.js';
import { NeededNetworks } from '../../../src/core/needed-networks.js';
import { rejects } from '../../support/rejects.js';

function setup() {
  const inits: (readonly string[])[] = [];
  const broken = new Set<string>();
  const gates: (() => void)[] = [];
  let gated = false;
  const needed = new NeededNetworks(async (only, { signal }: UserCallOptions) => {
    inits.push(only);
    if (gated) {
      await new Promise<void>((resolve, reject) => {
        gates.push(resolve);
        signal?.addEventListener('abort', () => reject(new HyperplugError('ABORTED', 'aborted')));
      });
    }
    const name = only.find((each) => broken.has(each));
    if (name) throw new HyperplugError('NET_INIT_FAILED', `${name} cannot be made`);
  });
  const gate = (on: boolean) => {
    gated = on;
    for (const open of gates.splice(0)) open();
  };
  return { needed, inits, broken, gate };
}

describe('networks that are needed', () => {
  it('are made once each, when something first needs them, and no other', async () => {
    const { needed, inits } = setup();
    await Promise.all([needed.need(['a'], {}), needed.need(['a', 'a'], {})]);
    await needed.need(['a', 'b'], {});
    expect(inits).to.deep.equal([['a'], ['b']]);
    needed.forget();
    await needed.need(['b'], {});
    needed.saw(['a']);
    await needed.need(['a', 'b'], {});
    expect(inits).to.deep.equal([['a'], ['b'], ['b']]);
  });

  it('of which none is: they are made known once, if no other call has done that', async () => {
    const { needed, inits } = setup();
    await needed.need([], {});
    await needed.need([], {});
    await needed.need(['a'], {});
    expect(inits).to.deep.equal([[], ['a']]);
    const other = setup();
    await other.needed.need(['a'], {});
    await other.needed.need([], {});
    expect(other.inits).to.deep.equal([['a']]);
  });

  it('one that cannot be made fails those who need it, until it can', async () => {
    const { needed, inits, broken } = setup();
    broken.add('lab');
    await needed.need(['a'], {});
    const error = await rejects(needed.need(['a', 'lab'], {}), 'NET_INIT_FAILED', 'lab cannot be made');
    expect(error.errors).to.deep.equal([]);
    await needed.need(['a'], {});
    broken.delete('lab');
    await needed.need(['lab'], {});
    expect(inits).to.deep.equal([['a'], ['lab'], ['lab']]);
  });

  it('a call that is aborted ends no other that waits for the same', async () => {
    const { needed, inits, gate } = setup();
    gate(true);
    const impatient = new AbortController();
    const first = needed.need(['a'], { signal: impatient.signal });
    const second = needed.need(['a'], {});
    impatient.abort();
    await rejects(first, 'ABORTED');
    gate(false);
    await second;
    expect(inits).to.deep.equal([['a'], ['a']]);
  });
});
