import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { throwIfAborted } from '../../src/core/calls.js';
import { HyperplugError } from '../../src/core/errors.js';
import type { ProgressSink } from '../../src/core/progress.js';
import { runCommand } from '../../src/host/command.js';
import { locateCompiler } from '../../src/host/debian/compiler.js';
import type { UnpackedPackages } from '../../src/host/debian/packages.js';
import type { ToolProvider } from '../../src/host/tools.js';
import { writeCpio } from './cpio.js';
import { extractVmlinux } from './kernel.js';
import type { OwnKernel } from './kernel-build.js';
import {
  BOOT_MODULES,
  loadOrder,
  MODULES_BESIDE,
  MODULES_ON_DEMAND,
  moduleDependencies,
  withoutSignature,
} from './modules.js';
import { kernelPackage, kernelTree } from './packages.js';
import { buildProgram, type ProgramSources } from './program-build.js';
import { type ImageModule, type RootFilesystem, rootFilesystem } from './root-filesystem.js';

export interface BuildInput {
  readonly tree: UnpackedPackages;
  readonly agent: ProgramSources;
  readonly launcher: ProgramSources;
  /** Instead of Debian's kernel and its modules. */
  readonly own: OwnKernel | undefined;
  readonly tools: ToolProvider;
  /** A folder for this build alone. */
  readonly temporary: string;
  readonly signal: AbortSignal;
  readonly progress: ProgressSink;
}

export interface BuiltImage {
  readonly kernel: Buffer;
  readonly initramfs: Buffer;
  /** Without modules: for a kernel that is not ours. */
  readonly bareInitramfs: Buffer;
  /** For the host. */
  readonly launcher: Buffer;
  readonly description: string;
}

/** @throws IMAGE_BUILD_FAILED, HOST_TOOL_MISSING, ABORTED, TIMEOUT. */
export async function buildImage(input: BuildInput): Promise<BuiltImage> {
  const { tree, agent, launcher, own, tools, temporary, signal, progress } = input;
  const { root } = tree;
  const kernel = own ? await ownKernel(own) : await debianKernel(input);
  throwIfAborted(signal, 'guest image');
  const compiler = await locateCompiler(tools, { signal, progress });
  const program = async (what: string, sources: ProgramSources) => {
    const folder = await mkdtemp(join(temporary, 'program-'));
    return buildProgram(what, sources, compiler, root, folder, signal);
  };
  const [agentProgram, launcherProgram] = await Promise.all([
    program('the guest agent', agent),
    program('the launcher', launcher),
  ]);
  const busyboxPath = join(root, await busyboxProgram(root));
  const applets = (await runCommand([busyboxPath, '--list-full'], { signal })).stdout.split('\n').filter(Boolean);
  const { content, description, modules, bootModules, modulesOnDemand } = kernel;
  const parts = { agent: agentProgram, busybox: await readFile(busyboxPath), applets };
  const initramfs = writeCpio(
    rootFilesystem({ ...parts, modules, bootModules, modulesOnDemand, description: `hyperplug guest, ${description}` }),
  );
  const bareInitramfs = writeCpio(
    rootFilesystem({ ...parts, modules: [], bootModules: [], modulesOnDemand: [], description: 'hyperplug guest' }),
  );
  return { kernel: content, initramfs, bareInitramfs, launcher: launcherProgram, description };
}

interface Kernel {
  readonly content: Buffer;
  readonly description: string;
  readonly modules: readonly ImageModule[];
  /** Paths of those that are loaded at boot. */
  readonly bootModules: readonly string[];
  readonly modulesOnDemand: RootFilesystem['modulesOnDemand'];
}

async function ownKernel({ path, description }: OwnKernel): Promise<Kernel> {
  return { content: await readFile(path), description, modules: [], bootModules: [], modulesOnDemand: [] };
}

async function debianKernel(input: BuildInput): Promise<Kernel> {
  const { tree } = input;
  const { release, version } = kernelPackage(tree);
  const kernelFiles = await kernelTree(tree.root, release);
  const decompress = decompressor(input);
  const content = await extractVmlinux(await readFile(kernelFiles.vmlinuzPath), decompress);
  const contents = await closure(tree.root, kernelFiles.modules, decompress);
  const dependencies = (name: string) => {
    const module = contents.get(name);
    return module && moduleDependencies(module);
  };
  const boot = loadOrder(BOOT_MODULES, dependencies, kernelFiles.builtIn);
  const onDemand = MODULES_ON_DEMAND.filter((name) => contents.has(name)).map((name) => {
    const beside = (MODULES_BESIDE[name] ?? []).filter((other) => contents.has(other));
    const order = loadOrder([...beside, name], dependencies, kernelFiles.builtIn);
    return { name, modules: order.filter((module) => !boot.includes(module)) };
  });
  const optional = onDemand.flatMap(({ modules }) => modules);
  const pathOf = (name: string) =>
    kernelFiles.modules
      .get(name)!
      .replace(/^usr\//, '')
      .replace(/\.xz$/, '');
  const modules = loadOrder([...boot, ...optional], dependencies, kernelFiles.builtIn).map(
    (name): ImageModule => ({ path: pathOf(name), content: withoutSignature(contents.get(name)!) }),
  );
  return {
    content,
    description: `Linux ${release} (Debian ${version})`,
    modules,
    bootModules: boot.map(pathOf),
    modulesOnDemand: onDemand.map(({ name, modules: needed }) => ({ name, modules: needed.map(pathOf) })),
  };
}

type Decompress = (format: 'xz' | 'zstd', data: Buffer) => Promise<Buffer>;

/** Contents of the modules the image may have, with all they depend on. */
async function closure(
  root: string,
  paths: ReadonlyMap<string, string>,
  decompress: Decompress,
): Promise<ReadonlyMap<string, Buffer>> {
  const found = new Map<string, Buffer>();
  const visit = async (name: string): Promise<void> => {
    const path = paths.get(name);
    if (path === undefined || found.has(name)) return;
    const file = await readFile(join(root, path));
    const module = path.endsWith('.xz') ? await decompress('xz', file) : file;
    found.set(name, module);
    for (const dependency of moduleDependencies(module)) await visit(dependency);
  };
  for (const name of [...BOOT_MODULES, ...MODULES_ON_DEMAND, ...Object.values(MODULES_BESIDE).flat()])
    await visit(name);
  return found;
}

/** Debian 12 has it in /bin, later ones in /usr/bin. */
async function busyboxProgram(root: string): Promise<string> {
  for (const path of ['usr/bin/busybox', 'bin/busybox']) {
    const there = await readFile(join(root, path)).catch(() => undefined);
    if (there) return path;
  }
  throw new HyperplugError('IMAGE_BUILD_FAILED', `${root}: no busybox`);
}

/** By the xz and zstd programs, on files: their output is binary. */
function decompressor({ tools, temporary, signal, progress }: BuildInput): Decompress {
  let serial = 0;
  return async (format, data) => {
    const program = await tools.locate(format, { signal, progress });
    const plain = join(temporary, `plain-${++serial}`);
    const packed = `${plain}.${format === 'xz' ? 'xz' : 'zst'}`;
    await writeFile(packed, data);
    await runCommand([program.path, '--decompress', '--force', '--quiet', packed], {
      signal,
      timeoutMs: 120_000,
      env: program.env,
    });
    return readFile(plain);
  };
}
