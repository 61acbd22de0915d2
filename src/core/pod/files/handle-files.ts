import type { FileTarget } from '../../agent.js';
import type { UserCallOptions } from '../../calls.js';
import type { PodBackend } from '../pod-backend.js';
import type { Guarded } from '../pod-handle.js';
import { copyIn } from './copy-in.js';
import { copyOut } from './copy-out.js';
import { type Exec, GuestTar } from './guest-tar.js';
import { guestPath } from './paths.js';
import type { CopyOptions, CopyOutOptions, CopyReport, FilePlace, PodFiles } from './types.js';

/** What copying needs of a pod. */
export interface CopyMeans {
  readonly files: Pick<PodFiles, 'read' | 'write'>;
  readonly exec: Exec;
}

export class HandleFiles implements PodFiles {
  constructor(
    private readonly backend: PodBackend,
    private readonly guarded: Guarded,
    private readonly exec: Exec,
  ) {}

  write(path: string, content: string | Uint8Array, options: UserCallOptions & FileTarget = {}): Promise<void> {
    const { signal, timeoutMs, ...target } = options;
    const bytes = typeof content === 'string' ? Buffer.from(content) : content;
    return this.guarded(`writing ${path}`, { signal, timeoutMs }, (call) =>
      this.backend.writeFile(path, bytes, call, target),
    );
  }

  read(path: string, options: FilePlace & { readonly encoding: BufferEncoding }): Promise<string>;
  read(path: string, options?: FilePlace): Promise<Buffer>;
  async read(path: string, options: FilePlace & { readonly encoding?: BufferEncoding } = {}) {
    const { container, encoding } = options;
    const content = await this.guarded(`reading ${path}`, options, (call) =>
      this.backend.readFile(path, call, container === undefined ? {} : { container }),
    );
    return encoding === undefined ? content : content.toString(encoding);
  }

  copyIn(hostPath: string, podPath: string, options: CopyOptions = {}): Promise<CopyReport> {
    return copyIn({ files: this, exec: this.exec }, hostPath, podPath, options);
  }
  copyOut(podPath: string, hostPath: string, options: CopyOutOptions = {}): Promise<CopyReport> {
    return copyOut({ files: this, exec: this.exec }, podPath, hostPath, options);
  }

  async putArchive(podPath: string, archive: AsyncIterable<Uint8Array>, options: FilePlace = {}): Promise<void> {
    await new GuestTar(this.exec, options).extract(guestPath(podPath).path, archive);
  }

  async *getArchive(podPath: string, options: CopyOptions = {}): AsyncGenerator<Buffer, void, undefined> {
    const tar = new GuestTar(this.exec, options);
    const given = guestPath(podPath);
    const source = options.followLink ? guestPath(await tar.resolve(given.path)) : given;
    if (given.contents) yield* tar.create(source.path, '.');
    else yield* tar.create(source.parent, source.name);
  }
}
