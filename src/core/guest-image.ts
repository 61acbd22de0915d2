import type { ProgressSink } from './progress.js';

/** What a VM boots. */
export interface GuestImage {
  readonly kernelPath: string;
  readonly initramfsPath: string;
  /** The same initramfs without the kernel's modules: for a hypervisor that is a kernel itself. Absent: there is none. */
  readonly bareInitramfsPath?: string;
  /** A program of the host that starts hypervisors, compiled with the image; absent: there is none. */
  readonly launcherPath?: string;
  /** Kernel arguments this image wants. */
  readonly kernelArgs: readonly string[];
  /** Kernel release and the like, for people. */
  readonly description: string;
}

/** Gives the image, building it first where that is needed. @throws IMAGE_BUILD_FAILED, IMAGE_NOT_FOUND. */
export interface GuestImageProvider {
  image(options: { readonly signal: AbortSignal; readonly progress: ProgressSink }): Promise<GuestImage>;
}
