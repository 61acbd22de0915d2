import { expect } from 'chai';
import { parseIdMap } from '../../../src/host/privilege.js';

describe('parseIdMap', () => {
  it('reads what /proc/PID/uid_map has: of the machine, of a user alone, of a container', () => {
    expect(parseIdMap('         0          0 4294967295\n')).to.deep.equal([
      { inside: 0, outside: 0, count: 4_294_967_295 },
    ]);
    expect(parseIdMap('         0      65534          1\n')).to.deep.equal([{ inside: 0, outside: 65_534, count: 1 }]);
    expect(parseIdMap('0 1000 1\n1 100000 65536\n')).to.have.length(2);
    expect(parseIdMap('')).to.deep.equal([]);
  });
});
