import { closeSync } from 'node:fs';
import {
  clearHolder,
  type LockFile,
  type LockOptions,
  lockOpen,
  openLockFile,
  tryUntil,
  unlock,
  writeHolder,
} from './lock.js';

/**
 * An exclusive lock that is taken time and again: as acquireLock(), on a file that stays open in between. Whoever removes
 * that file, or puts another in its place, is noticed.
 */
export class TurnLock implements Disposable {
  #file: LockFile | undefined;
  #told = false;

  constructor(
    readonly path: string,
    private readonly purpose: string,
  ) {}

  /** One attempt. False: somebody else has it. @throws HOST_PERMISSION. */
  tryTake(): boolean {
    const known = this.#file !== undefined;
    this.#file ??= openLockFile(this.path);
    const file = this.#file;
    try {
      if (lockOpen(this.path, file, true)) return true;
    } catch (error) {
      this.close();
      throw error;
    }
    this.close();
    // Of a file that was open before: the lock that counts may be another's.
    return known && this.tryTake();
  }

  /** @throws as acquireLock(). */
  async take(options: Pick<LockOptions, 'signal' | 'onWait'>): Promise<void> {
    await tryUntil(this.path, options, () => this.tryTake() || undefined);
  }

  /** For others who wait to tell by; only while it is held. */
  tell(): void {
    if (!this.#file) return;
    writeHolder(this.#file.fd, this.purpose);
    this.#told = true;
  }

  release(): void {
    if (!this.#file) return;
    if (this.#told) clearHolder(this.#file.fd);
    this.#told = false;
    unlock(this.path, this.#file.fd);
  }

  /** Releases it, and closes the file. Idempotent. */
  close(): void {
    const file = this.#file;
    this.#file = undefined;
    this.#told = false;
    if (file) closeSync(file.fd);
  }
  [Symbol.dispose](): void {
    this.close();
  }
}
