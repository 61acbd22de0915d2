import { expect } from 'chai';
import { mergeResults, page } from '../../../bench/harness/docs.js';
import { type BenchResult, benchResult, type ScenarioResult } from '../../../bench/harness/result.js';
import { outcome } from '../../../bench/harness/words.js';

const one = (median: number) => ({ median, low: median, high: median, min: median, max: median });
const scenario = (parts: Partial<ScenarioResult> = {}): ScenarioResult => ({
  name: 'hot-add',
  takenAt: '2026-01-02T03:04:05.000Z',
  seconds: 4,
  load: [0.5, 1, 2],
  comparisons: [
    {
      title: 'NIC to an answered ping',
      unit: 'ms',
      ours: { name: 'hyperplug', role: 'ours', samples: [60], summary: one(60), limit: 70, met: true },
      against: [
        {
          name: 'bare script',
          role: 'floor',
          samples: [40],
          summary: one(40),
          cost: one(1.5),
          target: { atMost: 1.25 },
          met: false,
        },
        { name: 'other', role: 'reference', samples: [30], summary: one(30), cost: one(2) },
        {
          name: 'slow',
          role: 'peer',
          samples: [600],
          summary: one(600),
          cost: one(0.1),
          target: { timesBetter: 5 },
          met: true,
        },
        { name: 'libvirt', role: 'peer', target: { timesBetter: 5 }, missing: 'not installed' },
      ],
    },
  ],
  ...parts,
});
const result = (...scenarios: ScenarioResult[]): BenchResult => ({
  version: 1,
  machine: { cpu: 'CPU', cpus: 2, memoryMib: 1024, kernel: '6.1' },
  versions: { Node: '20.19.0', QEMU: '7.2.22' },
  scenarios,
});
const shown = new Map([
  ['hot-add', { shows: 'A NIC.' }],
  ['qmp', { shows: 'Commands.' }],
]);

describe('the result of benchmarks', () => {
  it('is what its schema says', () => {
    const value = result(scenario(), scenario({ name: 'x', skipped: 'it needs root', comparisons: [] }));
    expect(benchResult.parse(JSON.parse(JSON.stringify(value)))).to.deep.equal(value);
  });

  for (const [what, wrong] of [
    ['a number that is none', { ...result(), machine: { ...result().machine, cpus: Number.NaN } }],
    ['a field it does not know', { ...result(), more: 1 }],
    ['another version', { ...result(), version: 2 }],
    ['a contender of nobody', result(scenario({ comparisons: [{ title: 't', unit: 'ms', against: [] } as never] }))],
  ] as const) {
    it(`refuses ${what}`, () => {
      expect(benchResult.safeParse(wrong).success).to.equal(false);
    });
  }

  it('says what became of the targets', () => {
    expect(outcome(scenario())).to.equal('2 of 3 met');
    expect(outcome(scenario({ failed: 'x' }))).to.equal('failed');
    expect(outcome(scenario({ skipped: 'x' }))).to.equal('skipped');
    expect(outcome(scenario({ comparisons: [] }))).to.equal('');
  });

  it('of a scenario in several of them the last one counts', () => {
    const merged = mergeResults([
      result(scenario({ name: 'qmp', seconds: 1 }), scenario()),
      result(scenario({ name: 'qmp', seconds: 2 })),
    ]);
    expect(merged.scenarios.map(({ name, seconds }) => [name, seconds])).to.deep.equal([
      ['hot-add', 4],
      ['qmp', 2],
    ]);
  });

  it('of different machines are not put together', () => {
    const other = { ...result(), machine: { ...result().machine, kernel: '6.2' } };
    expect(() => mergeResults([result(), other])).to.throw('different machines');
    expect(() => mergeResults([])).to.throw('no result');
  });
});

describe('the page made of it', () => {
  const lines = page(result(scenario()), shown).split('\n');

  it('says on what it ran, and when', () => {
    expect(lines.join('\n')).to.contain('2 × CPU, 1024 MiB, Linux 6.1; Node 20.19.0, QEMU 7.2.22');
    expect(lines).to.include('2026-01-02, load 0.5 1.0 2.0.');
  });

  it('has a row for each contender, with its ratio in the words of what is asked', () => {
    expect(lines).to.include('| hyperplug | 60.0 ms (60.0 to 60.0) |  | at most 70.0 ms: met |');
    expect(lines).to.include(
      '| bare script (floor) | 40.0 ms (40.0 to 40.0) | 1.50 × (1.50 to 1.50) | at most 1.25 ×: missed |',
    );
    expect(lines).to.include('| other (reference) | 30.0 ms (30.0 to 30.0) | 2.00 × (2.00 to 2.00) |  |');
    expect(lines).to.include(
      '| slow (peer) | 600 ms (600 to 600) | 10.0 × faster (10.0 to 10.0) | at least 5 × faster: met |',
    );
    expect(lines).to.include('| libvirt (peer) | skipped: not installed |  | at least 5 × faster |');
  });

  it('names what did not run, was skipped or failed', () => {
    expect(lines.slice(lines.indexOf('## qmp'))).to.include('Not in this run.');
    expect(page(result(scenario({ skipped: 'it needs root', comparisons: [] })), shown)).to.contain(
      'Skipped: it needs root.',
    );
    expect(page(result(scenario({ failed: 'killed', comparisons: [] })), shown)).to.contain('It failed: killed');
  });
});
