import { mkdir, open, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { CallOptions } from '../../calls.js';
import { concurrently } from '../../concurrently.js';
import type { ContainerLayer, ContainerSetup, GuestFileSystem, GuestMount } from '../../container.js';
import { HyperplugError } from '../../errors.js';
import type { DiskFormat, VmDisk, VmShare } from '../../hypervisor.js';
import { silentProgress } from '../../progress.js';
import type { ImageConfig, RootImage, RootImageProvider, RootSource } from '../../rootfs.js';
import type { PodServices } from '../services.js';
import type { PodSpec } from '../spec.js';
import { wrong } from '../spec-errors.js';
import type { ContainerSpec } from '../spec-parts/containers.js';
import { MAIN_CONTAINER } from '../spec-parts/contents.js';
import type { LayerSpec, RootSpec } from '../spec-parts/root.js';
import type { VolumeSpec } from '../spec-parts/volumes.js';

/** Where volumes are mounted in the guest's own root, for containers to have them from there (/run/hyperplug is the agent's). */
const VOLUMES = '/run/pod-volumes';

export interface PlannedContainer {
  readonly spec: ContainerSpec;
  readonly setup: ContainerSetup;
  /** null: the guest's own root. */
  readonly image: ImageConfig | null;
}

/** What a VM is given of the host's storage, and what its guest makes of it. */
export interface StoragePlan {
  readonly disks: readonly VmDisk[];
  readonly shares: readonly VmShare[];
  readonly volumes: readonly GuestMount[];
  readonly containers: readonly PlannedContainer[];
}

/**
 * Images built and disks made where they are not there yet, all at once. What is made survives: images in the cache, disks
 * in the pod's directory.
 * @throws POD_SPEC_INVALID a source is not there; ROOTFS_*, NOT_SUPPORTED, HOST_*.
 */
export async function prepareStorage(
  services: PodServices,
  spec: PodSpec,
  dataDir: string,
  call: CallOptions,
): Promise<StoragePlan> {
  // A `main` container has them in its own root.
  const hasMain = spec.containers.some(({ id }) => id === MAIN_CONTAINER);
  const inGuest = (volume: VolumeSpec) => (hasMain ? { ...volume, path: undefined } : volume);
  const [containers, volumes] = await Promise.all([
    concurrently(
      spec.containers.map((each, index) => (limited) => prepareContainer(services, each, index, dataDir, limited)),
      call,
    ),
    concurrently(
      spec.volumes.map((each, index) => (limited) => prepareVolume(services, inGuest(each), index, dataDir, limited)),
      call,
    ),
  ]);
  const disks = [...containers.flatMap((each) => each.disks), ...volumes.flatMap(({ disk }) => disk ?? [])];
  return {
    // Containers of one image have one disk.
    disks: disks.filter((disk, index) => disks.findIndex(({ id }) => id === disk.id) === index),
    shares: volumes.flatMap(({ share }) => share ?? []),
    volumes: volumes.flatMap(({ mounts }) => mounts),
    containers: containers.map(({ planned }) => planned),
  };
}

const provider = ({ rootImages }: PodServices): RootImageProvider => {
  if (rootImages) return rootImages;
  throw new HyperplugError('NOT_SUPPORTED', 'roots and disks of pods: this program was put together without them');
};

async function prepareContainer(
  services: PodServices,
  spec: ContainerSpec,
  index: number,
  dataDir: string,
  call: CallOptions,
): Promise<{ planned: PlannedContainer; disks: VmDisk[] }> {
  const options = { signal: call.signal, progress: services.progress ?? silentProgress };
  const disks: VmDisk[] = [];
  let image: RootImage | undefined;
  let root: ContainerSetup['root'] = { kind: 'directory', path: '/' };
  if (spec.root) {
    const source = await rootSource(spec.root, `image of container ${spec.name}`);
    image = await provider(services).rootImage(source, options);
    const id = `root-${image.digest.replace(/^sha256:/, '').slice(0, 14)}`;
    disks.push({ id, path: image.path, format: 'raw', readOnly: true });
    root = { kind: 'disk', id, fsType: image.fsType };
  }
  const layer = await prepareLayer(
    services,
    spec.layer,
    `layer-${index}`,
    join(dataDir, 'layers', `${spec.id}.img`),
    call,
  );
  if (layer.disk) disks.push(layer.disk);
  const setup: ContainerSetup = {
    id: spec.id,
    root,
    layer: layer.layer,
    mounts: spec.volumes.map(({ volume, path, readOnly }) => ({
      source: { kind: 'directory', path: `${VOLUMES}/${volume}` },
      path,
      readOnly,
    })),
    sysctls: spec.sysctls,
  };
  return { planned: { spec, setup, image: image?.config ?? null }, disks };
}

async function prepareLayer(
  services: PodServices,
  spec: LayerSpec,
  id: string,
  path: string,
  call: CallOptions,
): Promise<{ layer: ContainerLayer; disk?: VmDisk }> {
  if (spec.kind !== 'disk') return { layer: spec };
  await makeDisk(services, path, spec.sizeMib, call);
  return { layer: { kind: 'disk', id, fsType: 'ext4' }, disk: { id, path, format: 'raw', readOnly: false } };
}

interface PreparedVolume {
  readonly disk?: VmDisk;
  readonly share?: VmShare;
  readonly mounts: readonly GuestMount[];
}

async function prepareVolume(
  services: PodServices,
  spec: VolumeSpec,
  index: number,
  dataDir: string,
  call: CallOptions,
): Promise<PreparedVolume> {
  const { name, readOnly, path, fsType, sizeMib } = spec;
  const id = `vol-${index}`;
  const at = `${VOLUMES}/${name}`;
  const mounts = (source: GuestFileSystem): GuestMount[] => [
    { source, path: at, readOnly },
    // In the guest's own root as well.
    ...(path === undefined ? [] : [{ source: { kind: 'directory', path: at } as const, path, readOnly }]),
  ];
  if (spec.kind === 'tmpfs') return { mounts: mounts({ kind: 'tmpfs', ...(sizeMib !== undefined && { sizeMib }) }) };
  if (spec.kind === 'empty') {
    const image = join(dataDir, 'volumes', `${name}.img`);
    await makeDisk(services, image, sizeMib ?? 1024, call);
    return { disk: { id, path: image, format: 'raw', readOnly }, mounts: mounts({ kind: 'disk', id, fsType: 'ext4' }) };
  }
  const source = spec.source as string;
  const found = await whatIs(source, `source of volume ${name}`);
  if (spec.kind === 'directory' && found !== 'directory') throw wrong(`volumes.${name}.source`, 'a directory', source);
  if (spec.kind === 'disk' && found === 'directory')
    throw wrong(`volumes.${name}.source`, 'an image file or block device', source);
  if (found === 'directory') {
    return { share: { tag: id, path: source, readOnly }, mounts: mounts({ kind: 'share', tag: id }) };
  }
  const format = spec.kind === 'path' ? await diskFormat(source) : spec.format;
  return { disk: { id, path: source, format, readOnly }, mounts: mounts({ kind: 'disk', id, fsType }) };
}

async function makeDisk(services: PodServices, path: string, sizeMib: number, call: CallOptions): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const options = { signal: call.signal, progress: services.progress ?? silentProgress };
  await provider(services).createDisk({ path, sizeMib, fsType: 'ext4' }, options);
}

/** What stands at a path is looked at. @throws POD_SPEC_INVALID nothing does. */
async function rootSource(root: RootSpec, what: string): Promise<RootSource> {
  if (root.kind !== 'path') return root;
  const { path } = root;
  const found = await whatIs(path, what);
  if (found === 'directory') {
    const layout = await stat(join(path, 'oci-layout')).catch(() => undefined);
    return { kind: layout?.isFile() ? 'oci-layout' : 'directory', path };
  }
  const fsType = await fileSystemOf(path);
  return fsType ? { kind: 'image', path, fsType } : { kind: 'archive', path };
}

/** @throws POD_SPEC_INVALID */
export async function whatIs(path: string, what: string): Promise<'directory' | 'file'> {
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => error);
  if (found instanceof Error) throw wrong(what, `a path that is there (${found.code})`, path);
  if (found.isDirectory()) return 'directory';
  if (found.isFile() || found.isBlockDevice()) return 'file';
  throw wrong(what, 'a directory, a file or a block device', path);
}

/** Superblocks: linux/magic.h, squashfs_fs.h, and ext4's at 1024 + 0x38. */
async function fileSystemOf(path: string): Promise<string | undefined> {
  const head = await headOf(path);
  if (head.length >= 4 && head.toString('latin1', 0, 4) === 'hsqs') return 'squashfs';
  if (head.length >= 1028 && head.readUInt32LE(1024) === 0xe0f5e1e2) return 'erofs';
  if (head.length >= 1082 && head.readUInt16LE(1080) === 0xef53) return 'ext4';
  return undefined;
}

/** QEMU's docs/interop/qcow2.txt. */
async function diskFormat(path: string): Promise<DiskFormat> {
  return (await headOf(path)).toString('latin1', 0, 4) === 'QFI\xfb' ? 'qcow2' : 'raw';
}

async function headOf(path: string): Promise<Buffer> {
  const file = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(2048), 0, 2048, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}
