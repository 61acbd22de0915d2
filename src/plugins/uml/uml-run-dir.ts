import { basename, join } from 'node:path';
import { type ProcessMarker, RunDir } from '../../host/vmm/run-dir.js';
import { returnDisks } from './storage.js';

const VARIABLE = 'HYPERPLUG_VM';

/** An assignment of env(1), which stands among the arguments of unshare and timeout, or the launcher; the guest does not see it. */
export const markerVariable = (marker: string): Record<string, string> => ({ [VARIABLE]: marker });

const markerIn = (argv: readonly string[]) =>
  argv.find((argument) => argument.startsWith(`${VARIABLE}=`))?.slice(VARIABLE.length + 1);

/** Our child, and the first process of the namespace. */
export const umlMarker: ProcessMarker = { markerOf: markerIn };

/** The first process of the namespace alone: with it all others end. */
export const umlInitMarker: ProcessMarker = {
  markerOf: (argv) => (basename(argv[0] ?? '') === 'timeout' || argv[1] === 'inner' ? markerIn(argv) : undefined),
};

/** The descriptor by which UML and slirp4netns know the directory of sockets: they need not be able to reach its path. */
export const SOCKETS_FD = 3;

/** UML's umid: the directory below uml_dir with its console and pid file. */
export const UMID = 'vm';

/**
 * Beside what every driver has:
 *
 *     nics.json        which NICs are plugged: UML cannot be asked
 *     c0.in, c0.out …  FIFOs of the serial lines
 *     s/notify         UML tells here that it is up, that its kernel panicked
 *     s/vm/mconsole    its management console
 *     s/m…             ours, that it answers to
 *     disks.json       whose the files were that UML writes to
 *     initramfs        the image with UML's own modules, until it is up
 *     paused           whoever adopts the VM knows by it
 *     s/b0, s/a0 …     slirp4netns of the NIC in slot 0: frames, control
 */
export class UmlRunDir extends RunDir {
  readonly notifySocket: string;
  readonly longestSocket: string;
  readonly nicsFile: string;
  readonly pausedFile: string;
  readonly loanFile: string;
  readonly initramfsFile: string;

  constructor(path: string) {
    super(path, umlMarker);
    this.notifySocket = join(this.sockets, 'notify');
    this.longestSocket = this.notifySocket;
    this.nicsFile = join(path, 'nics.json');
    this.pausedFile = join(path, 'paused');
    this.loanFile = join(path, 'disks.json');
    this.initramfsFile = join(path, 'initramfs');
  }

  channelFifos(index: number): { readonly toGuest: string; readonly fromGuest: string } {
    return { toGuest: join(this.path, `c${index}.in`), fromGuest: join(this.path, `c${index}.out`) };
  }

  override async removeFiles(): Promise<void> {
    await returnDisks(this.loanFile);
    await super.removeFiles();
  }

  protected override ownFiles(): RegExp {
    return /^(nics\.json(\.\w+)?|paused|initramfs|c\d+\.(in|out))$/;
  }
}
