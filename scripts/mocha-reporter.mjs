// mocha's own report; and in the file that the reporter option `stats` names its counts, what failed, and how long each
// test file took, for the summary of all stages.
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
    if (file) watch(runner, (seen) => writeFileSync(file, JSON.stringify({ ...this.stats, ...seen })));
  }
}

/** @param {(seen: { failed: { file: string, title: string, message: string }[], seconds: Record<string, number> }) => void} tell */
function watch(runner, tell) {
  const failed = [];
  const seconds = {};
  runner.on('fail', (test, error) => {
    const message = String(error?.message ?? error);
    failed.push({ file: test.file ?? test.parent?.file ?? '', title: test.fullTitle(), message });
  });
  // A file's hooks count: the time from its first suite's begin to its end.
  runner.on('suite', (suite) => {
    suite.hyperplugBegan = Date.now();
  });
  runner.on('suite end', ({ file, parent, hyperplugBegan }) => {
    if (file && parent?.root) seconds[file] = (seconds[file] ?? 0) + (Date.now() - hyperplugBegan) / 1000;
  });
  runner.once('end', () => tell({ failed, seconds }));
}
