import type { FileTarget } from '../../agent.js';
import type { UserCallOptions } from '../../calls.js';

export interface FilePlace extends UserCallOptions {
  /** Id of a container whose root the path is in; default: the guest itself. */
  readonly container?: string;
}

export interface CopyOptions extends FilePlace {
  /** A source that is a symbolic link itself is followed; those in a tree never are. Default false. */
  readonly followLink?: boolean;
}

export interface CopyOutOptions extends CopyOptions {
  /** Of all files together: the guest is not trusted with the host's disk. Default 64 GiB. */
  readonly maxBytes?: number;
  /** Default a million. */
  readonly maxEntries?: number;
}

export interface CopyReport {
  readonly files: number;
  readonly directories: number;
  readonly links: number;
  readonly bytes: number;
  /** Sockets, pipes, devices, and what has a name that is not UTF-8 or leads to one: not copied; at most the first hundred. */
  readonly skipped: readonly string[];
}

/** Files in a running pod. Guest paths begin at its root, with or without a slash. */
export interface PodFiles {
  /**
   * At most 16 MiB; the file is replaced in one step.
   * @throws AGENT_REFUSED with the guest kernel's reason.
   */
  write(path: string, content: string | Uint8Array, options?: UserCallOptions & FileTarget): Promise<void>;
  /** At most 16 MiB. @throws AGENT_REFUSED */
  read(path: string, options: FilePlace & { readonly encoding: BufferEncoding }): Promise<string>;
  read(path: string, options?: FilePlace): Promise<Buffer>;
  /**
   * A file or a tree of the host into the pod, of any size; with its modes and times, owned by root. As cp(1): into `podPath`
   * where that is a directory, as `podPath` where there is nothing; `hostPath/.` stands for what is in the directory.
   * Needs tar in the guest, but for one file of at most 16 MiB. No deadline but `timeoutMs`.
   * @throws POD_COPY_FAILED, HOST_IO, AGENT_REFUSED. A failed copy may leave a part in the pod.
   */
  copyIn(hostPath: string, podPath: string, options?: CopyOptions): Promise<CopyReport>;
  /**
   * The other way, owned by who copies, without setuid bits. Nothing outside of the destination is written to, whatever the
   * guest sends: no link is followed, and none leads a later file elsewhere. What was not there before appears in one
   * step; into a directory that is there already, file by file.
   * @throws POD_COPY_FAILED, HOST_IO, AGENT_REFUSED
   */
  copyOut(podPath: string, hostPath: string, options?: CopyOutOptions): Promise<CopyReport>;
  /** Unpacks a tar archive into a directory of the pod, as root. @throws POD_COPY_FAILED with tar's own words. */
  putArchive(podPath: string, archive: AsyncIterable<Uint8Array>, options?: FilePlace): Promise<void>;
  /** A tar archive of a file or tree, whose names begin with the last of `podPath`. @throws POD_COPY_FAILED while it is read. */
  getArchive(podPath: string, options?: CopyOptions): AsyncGenerator<Buffer, void, undefined>;
}
