// mocha's own report, and its counts in the file that the reporter option `stats` names, for the summary of all stages.
import { writeFileSync } from 'node:fs';
import Mocha from 'mocha';

export default class Reporter extends Mocha.reporters.Spec {
  constructor(runner, options) {
    super(runner, options);
    const file = options.reporterOptions?.stats;
    if (file) runner.once('end', () => writeFileSync(file, JSON.stringify(this.stats)));
  }
}
