import { spawnSync } from 'node:child_process';
import type { Context } from 'mocha';
import { buildHostAgent } from '../../support/raw-agent.js';
import { requireOrSkip } from '../../support/require.js';

/** These tests need a compiler with sanitizers, and namespaces of their own. */
export function canRunAgent(context: Context): void {
  context.timeout(120_000);
  const namespaces = spawnSync('unshare', ['--net', '--uts', '--mount', '--pid', '--fork', 'true']);
  requireOrSkip(context, namespaces.status === 0, 'no right to make namespaces');
  for (const tool of ['gcc', 'make', 'ip', 'nsenter']) {
    requireOrSkip(context, spawnSync('which', [tool]).status === 0, `${tool} is not installed`);
  }
  buildHostAgent();
}
