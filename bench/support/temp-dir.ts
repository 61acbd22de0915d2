import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Removed when it goes out of scope. */
export class TempDir {
  readonly path: string;
  constructor(parent = tmpdir()) {
    this.path = mkdtempSync(join(parent, 'hpb-'));
  }
  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
