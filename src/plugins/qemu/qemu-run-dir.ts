import { join } from 'node:path';
import { type ProcessMarker, RunDir } from '../../host/vmm/run-dir.js';
import { removeUnsaved } from './template/paths.js';
import { endShares } from './virtiofsd.js';

/** QEMU's own name in `ps`. */
export const qemuMarker: ProcessMarker = {
  markerOf(argv) {
    const at = argv.indexOf('-name');
    const name = at < 0 ? undefined : argv[at + 1]?.replaceAll(',,', ',');
    return name?.startsWith('guest=') ? name.slice('guest='.length) : undefined;
  },
};

/**
 * Below `s`:
 *
 *     launch      QEMU connects to it once, as its first QMP monitor
 *     qmp         of a detached QEMU: for whoever adopts it
 *     c0, c1 …    channels
 *     fs0, fs1 …  virtiofsd of the shares, which are bound to m0, m1 … of the run directory
 *
 * Beside `s`, of the source of a template: `template`, a link to its directory as long as not all was saved.
 */
export class QemuRunDir extends RunDir {
  readonly launchSocket: string;
  readonly qmpSocket: string;
  readonly longestSocket: string;

  constructor(path: string) {
    super(path, qemuMarker);
    this.launchSocket = join(this.sockets, 'launch');
    this.qmpSocket = join(this.sockets, 'qmp');
    this.longestSocket = this.launchSocket;
  }

  channelSocket(index: number): string {
    return join(this.sockets, `c${index}`);
  }

  shareSocket(index: number): string {
    return join(this.sockets, `fs${index}`);
  }

  override async removeFiles(): Promise<void> {
    await endShares(this.path);
    await removeUnsaved(this.path);
    await super.removeFiles();
  }
}
