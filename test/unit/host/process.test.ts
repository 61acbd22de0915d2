import { expect } from 'chai';
import fc from 'fast-check';
import { parseProcStat } from '../../../src/host/process.js';

describe('parseProcStat', () => {
  const tail = (state: string, ppid: number, start: number) =>
    ` ${state} ${ppid} 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 ${start} 1 2 3`;

  it('reads state, parent and start time whatever the name holds', () => {
    fc.assert(
      fc.property(fc.string(), fc.nat(), fc.nat(), (name, ppid, start) => {
        const stat = parseProcStat(`12 (${name})${tail('S', ppid, start)}`);
        expect(stat).to.deep.equal({ state: 'S', parentPid: ppid, startTime: start });
      }),
    );
  });

  it('refuses what is no stat line', () => {
    for (const text of ['', '12', '12 (x', '12 (x)', '12 (x) S 1 2']) expect(parseProcStat(text)).to.equal(undefined);
  });
});
