// mocha's own report, and its counts and the files that failed in the file that the reporter option `stats` names, for the
// summary of all stages.
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import Mocha from 'mocha';

export default class Reporter extends Mocha.reporters.Spec {
  constructor(runner, options) {
    super(runner, options);
    // libuv opens /dev/null with a process's first stream, and keeps it; some tests count descriptors, and where the output
    // goes to a file no stream has been there before them.
    const first = createServer().listen({ path: `\0hyperplug-test-${process.pid}` }, () => first.close());
    const file = options.reporterOptions?.stats;
    const failed = new Set();
    runner.on('fail', (test) => failed.add(test.file ?? test.parent?.file ?? ''));
    if (file) runner.once('end', () => writeFileSync(file, JSON.stringify({ ...this.stats, failed: [...failed] })));
  }
}
