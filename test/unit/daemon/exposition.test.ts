import { expect } from 'chai';
import { DurationHistogram, exposition } from '../../../src/daemon/exposition.js';

describe('daemon: Prometheus text', () => {
  it('escapes labels and help, and writes infinity as Prometheus does', () => {
    const text = exposition([
      {
        name: 'a_total',
        help: 'One\nline \\ here.',
        type: 'counter',
        samples: [{ labels: { path: 'C:\\x"\n' }, value: 3 }, { value: Number.POSITIVE_INFINITY }],
      },
    ]);
    expect(text).to.equal(
      '# HELP a_total One\\nline \\\\ here.\n# TYPE a_total counter\na_total{path="C:\\\\x\\"\\n"} 3\na_total +Inf\n',
    );
  });

  it('counts durations into cumulative buckets', () => {
    const histogram = new DurationHistogram();
    for (const seconds of [0.0005, 0.003, 0.2, 1000]) histogram.observe({ operation: 'x' }, seconds);
    const samples = histogram.samples();
    const bucket = (le: string | number) => samples.find(({ labels }) => labels?.le === le)?.value;
    expect([bucket(0.001), bucket(0.005), bucket(0.1), bucket(0.5), bucket(300), bucket('+Inf')]).to.deep.equal([
      1, 2, 2, 3, 3, 4,
    ]);
    expect(samples.find(({ suffix }) => suffix === '_count')?.value).to.equal(4);
    expect(samples.find(({ suffix }) => suffix === '_sum')?.value).to.be.closeTo(1000.2035, 1e-6);
  });
});
