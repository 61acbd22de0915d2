/** Gives the image: worker CACHE-DIR AGENT-DIR [kill], the last of which ends it once the build has begun. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { DebianGuestImageProvider } from '../../../../guest/image/index.js';
import type { ProgressSink } from '../../../../src/core/progress.js';
import { DebianToolProvider } from '../../../../src/host/debian/tools.js';

const [, , cacheDir, agentDir, kill] = process.argv;
const labels: string[] = [];
const progress: ProgressSink = {
  begin(label) {
    labels.push(label);
    return { update() {}, done() {}, fail() {} };
  },
};
if (kill === 'kill') {
  setInterval(() => {
    const begun = readdirSync(join(cacheDir!, 'images')).some((name) => name.startsWith('.tmp-'));
    if (begun) process.kill(process.pid, 'SIGKILL');
  }, 1);
}
const tools = new DebianToolProvider({ cacheDir: cacheDir! });
const provider = new DebianGuestImageProvider({ cacheDir: cacheDir!, tools, agentDir: agentDir! });
const image = await provider.image({ signal: AbortSignal.timeout(500_000), progress });
process.stdout.write(JSON.stringify({ image, labels }));
