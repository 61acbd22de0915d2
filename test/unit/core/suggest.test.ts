import { expect } from 'chai';
import { closest, suggestion } from '../../../src/core/suggest.js';

describe('closest', () => {
  const keys = ['memoryMib', 'cpus', 'nicSlots', 'network'];
  it('finds a slip, a swap, another case, another separator', () => {
    expect(closest('memoryMb', keys)).to.equal('memoryMib');
    expect(closest('cpsu', keys)).to.equal('cpus');
    expect(closest('memory_mib', keys)).to.equal('memoryMib');
    expect(closest('networks', keys)).to.equal('network');
  });
  it('finds nothing where nothing is near', () => {
    expect(closest('disk', keys)).to.equal(undefined);
    expect(suggestion('disk', keys)).to.equal('');
    expect(closest('x', [])).to.equal(undefined);
  });
  it('prefers the nearest', () => {
    expect(closest('driver', ['drivers', 'driver', 'drive'])).to.equal('driver');
  });
});
