// mocha's own report, and its counts and the files that failed in the file that the reporter option `stats` names, for the
// summary of all stages.
import { writeFileSync } from 'node:fs';
import Mocha from 'mocha';

export default class Reporter extends Mocha.reporters.Spec {
  constructor(runner, options) {
    super(runner, options);
    const file = options.reporterOptions?.stats;
    const failed = new Set();
    runner.on('fail', (test) => failed.add(test.file ?? test.parent?.file ?? ''));
    if (file) runner.once('end', () => writeFileSync(file, JSON.stringify({ ...this.stats, failed: [...failed] })));
  }
}
