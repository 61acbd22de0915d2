/** Unpacks lz4 under a label: worker CACHE-DIR LABEL [PROGRESS at whose beginning it kills itself]. */
import type { ProgressSink } from '../../../src/core/progress.js';
import { PackageStore } from '../../../src/host/debian/packages.js';

const [, , cacheDir, label, killAt] = process.argv;
const labels: string[] = [];
const progress: ProgressSink = {
  begin(text) {
    labels.push(text);
    // At the first update, since by then the temporary folder is there.
    const update = () => {
      if (killAt !== undefined && text.startsWith(killAt)) process.kill(process.pid, 'SIGKILL');
    };
    return { update, done() {}, fail() {} };
  },
};
const request = { label: label!, packages: ['lz4'], dependencies: false };
const { root } = await new PackageStore(cacheDir!).provide(request, { signal: AbortSignal.timeout(240_000), progress });
process.stdout.write(JSON.stringify({ root, labels }));
