import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ROOT } from '../support/docs.js';

describe('the types of the SDK', () => {
  it('are what test/types says', async function () {
    this.timeout(120_000);
    const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
    await promisify(execFile)(process.execPath, [tsc, '-p', join(ROOT, 'test/types')]).catch(
      (error: { stdout: string }) => {
        throw new Error(error.stdout);
      },
    );
  });
});
