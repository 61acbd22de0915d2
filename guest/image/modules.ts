import { HyperplugError } from '../../src/core/errors.js';
import { elfSection } from './elf.js';

/** Loaded at boot: what the agent needs to be spoken to, to see NICs come and go, and the power button. */
export const BOOT_MODULES = ['virtio_pci', 'virtio_console', 'virtio_net', 'button'] as const;

/**
 * What the agent loads when it is first needed, by the name it asks for: a driver, a file system. They cost nothing until then.
 * Not every kernel has all as modules, nor at all.
 */
export const MODULES_ON_DEMAND = [
  'virtio_blk',
  'squashfs',
  'erofs',
  'ext4',
  'xfs',
  'overlay',
  'virtiofs',
  '9p',
  'virtio_rng',
  'vmw_vsock_virtio_transport',
] as const;

/** What a module needs besides what it says itself: 9p finds its transport by name. */
export const MODULES_BESIDE: Readonly<Record<string, readonly string[]>> = { '9p': ['9pnet_virtio'] };

const SIGNATURE_MARK = '~Module signature appended~\n';

/** `virtio_rng` for `…/virtio-rng.ko.xz`: as the kernel and modules.dep name it. */
export function moduleName(path: string): string {
  return path
    .replace(/^.*\//, '')
    .replace(/\.ko(\.(xz|gz|zst))?$/, '')
    .replaceAll('-', '_');
}

/** Names in the `depends=` of a module's .modinfo. */
export function moduleDependencies(module: Buffer): string[] {
  const info = elfSection(module, '.modinfo')?.toString('latin1') ?? '';
  const line = info.split('\0').find((entry) => entry.startsWith('depends='));
  return (line?.slice('depends='.length) ?? '')
    .split(',')
    .filter((name) => name !== '')
    .map((name) => name.replaceAll('-', '_'));
}

/**
 * The module without its appended signature (kernel: scripts/sign-file). Checking it costs boot time and could only fail:
 * the kernel's certificate list is not loaded, and Debian's kernel does not insist on signatures.
 */
export function withoutSignature(module: Buffer): Buffer {
  const trailerBytes = 12 + SIGNATURE_MARK.length;
  if (module.length < trailerBytes || !module.subarray(-SIGNATURE_MARK.length).equals(Buffer.from(SIGNATURE_MARK))) {
    return module;
  }
  const signatureBytes = module.readUInt32BE(module.length - SIGNATURE_MARK.length - 4);
  const end = module.length - trailerBytes - signatureBytes;
  return end > 0 ? module.subarray(0, end) : module;
}

/**
 * `names` and all they depend on, dependencies first, each once. What the kernel has built in is left out.
 * @param dependencies module → what it needs; a module that does not exist is undefined.
 * @throws IMAGE_BUILD_FAILED a module is neither there nor built in, or the dependencies go in a circle.
 */
export function loadOrder(
  names: readonly string[],
  dependencies: (name: string) => readonly string[] | undefined,
  builtIn: ReadonlySet<string>,
): string[] {
  const order: string[] = [];
  const visit = (name: string, path: readonly string[]): void => {
    if (order.includes(name) || builtIn.has(name)) return;
    if (path.includes(name)) throw failed(`modules depend on each other: ${[...path, name].join(' → ')}`);
    const needed = dependencies(name);
    if (!needed) throw failed(`the kernel has no module ${[...path, name].join(' → ')}`);
    for (const dependency of needed) visit(dependency, [...path, name]);
    order.push(name);
  };
  for (const name of names) visit(name, []);
  return order;
}

function failed(message: string): HyperplugError {
  return new HyperplugError('IMAGE_BUILD_FAILED', message);
}
