import type { ProgressSink } from './progress.js';

/** What a root file system can be made of; all paths are absolute and of the host. */
export type RootSource =
  /** A tree. Names that only root can have (owners, devices) are kept as far as this process can read them. */
  | { readonly kind: 'directory'; readonly path: string }
  /** A tar archive; plain, or compressed by gzip, xz, bzip2 or zstd. */
  | { readonly kind: 'archive'; readonly path: string }
  /** An OCI image layout: a directory with oci-layout, index.json and blobs. */
  | {
      readonly kind: 'oci-layout';
      readonly path: string;
      /** A manifest's digest (`sha256:…`) or its org.opencontainers.image.ref.name; undefined: the only one there is. */
      readonly reference?: string;
    }
  /** A file system in a file, or on a block device; never written to. */
  | { readonly kind: 'image'; readonly path: string; readonly fsType: string };

/** What an image says about running it; a pod's own specification goes before it. */
export interface ImageConfig {
  /** `NAME=value` taken apart. */
  readonly env: Readonly<Record<string, string>>;
  /** The command is the entrypoint, then cmd; either may be replaced. */
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly workingDirectory: string;
  /** `user`, `user:group`, `1000`, `1000:1000`; undefined: root. */
  readonly user?: string;
  /** Places at which the image wants volumes. */
  readonly volumes: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  /** Name of the signal that ends it; undefined: SIGTERM. */
  readonly stopSignal?: string;
}

/** A read-only image, ready to be a disk of any number of VMs. */
export interface RootImage {
  /** A file below the cache directory, readable by this user alone (hypervisors get it by descriptor); or, of an `image`, its own. */
  readonly path: string;
  /** As the guest's kernel calls it. */
  readonly fsType: string;
  /** `sha256:…` of what it was made of, and how; the same source gives the same one. */
  readonly digest: string;
  readonly sizeBytes: number;
  readonly config: ImageConfig;
}

export interface RootImageOptions {
  readonly signal: AbortSignal;
  readonly progress: ProgressSink;
}

/** A volume's or a writable layer's disk, to be made. */
export interface DiskRequest {
  /** Absolute; its directory exists. */
  readonly path: string;
  readonly sizeMib: number;
  readonly fsType: 'ext4';
}

/**
 * Makes root file systems and disks on the host. The composition root gives the real one (PodServices.rootImages). How a pod
 * uses it: `rootImage(source)` gives a disk for VmSpec.disks (`readOnly: true`, format raw), which becomes
 * ContainerSetup.root with a layer above it; `createDisk` makes the disks of volumes and of layers that shall outlive the VM.
 */
export interface RootImageProvider {
  /**
   * Built where the cache does not have it: once, however many ask for it at the same time, in however many processes.
   * Not in the guest's memory nor with the owner's privilege: a hostile archive can but fail.
   * @throws ROOTFS_NOT_FOUND, ROOTFS_INVALID (what is malformed, hostile or too large), HOST_TOOL_MISSING, HOST_IO.
   */
  rootImage(source: RootSource, options: RootImageOptions): Promise<RootImage>;
  /** A new file with an empty file system; one that is there is left as it is. @throws ROOTFS_INVALID, HOST_IO. */
  createDisk(request: DiskRequest, options: RootImageOptions): Promise<void>;
  /**
   * Removes cached images that were last given out before `unusedForMs` ago (default 0: all), but not those of these digests,
   * nor one that a process has open. With `dryRun` nothing is removed, and `removed` says what would be.
   */
  prune(
    options: RootImageOptions & {
      readonly unusedForMs?: number;
      readonly keep?: readonly string[];
      readonly dryRun?: boolean;
    },
  ): Promise<{ readonly removed: readonly string[]; readonly freedBytes: number }>;
}
