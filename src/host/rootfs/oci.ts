import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { ImageConfig } from '../../core/rootfs.js';
import { invalid, sourceError } from './errors.js';
import { digestOf } from './streams.js';

/** https://github.com/opencontainers/image-spec (v1): image-layout.md, descriptor.md, manifest.md, config.md. */
const MAX_JSON_BYTES = 4 * 1024 * 1024;
const MAX_LAYERS = 256;
const MAX_INDEX_DEPTH = 4;
const REF_NAME = 'org.opencontainers.image.ref.name';

const INDEX_TYPES = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
];
const MANIFEST_TYPES = [
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
];
/** What it is compressed with is told by its first bytes. */
const LAYER_TYPE =
  /^application\/vnd\.(oci\.image\.layer\.v1\.tar(\+gzip|\+zstd)?|docker\.image\.rootfs\.diff\.tar(\.gzip|\.zstd)?)$/;

const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/, 'sha256: and 64 hexadecimal digits');
const descriptor = z.object({
  mediaType: z.string(),
  digest,
  size: z.int().nonnegative(),
  annotations: z.record(z.string(), z.string()).optional(),
  platform: z.object({ architecture: z.string(), os: z.string() }).optional(),
});
type Descriptor = z.output<typeof descriptor>;
const index = z.object({ schemaVersion: z.literal(2), manifests: z.array(descriptor).max(1024) });
const manifest = z.object({
  schemaVersion: z.literal(2),
  config: descriptor,
  layers: z.array(descriptor).max(MAX_LAYERS),
});
const config = z.object({
  architecture: z.string().optional(),
  os: z.string().optional(),
  rootfs: z.object({ type: z.literal('layers'), diff_ids: z.array(digest).max(MAX_LAYERS) }).optional(),
  config: z
    .object({
      Env: z.array(z.string()).nullish(),
      Entrypoint: z.array(z.string()).nullish(),
      Cmd: z.array(z.string()).nullish(),
      WorkingDir: z.string().nullish(),
      User: z.string().nullish(),
      Volumes: z.record(z.string(), z.unknown()).nullish(),
      Labels: z.record(z.string(), z.string()).nullish(),
      StopSignal: z.string().nullish(),
    })
    .nullish(),
});

export interface OciLayer {
  readonly path: string;
  /** `sha256:…` of what it is uncompressed, as the image's configuration has it; undefined: that tells none. */
  readonly diffId: string | undefined;
}

export interface OciImage {
  /** Of the manifest. */
  readonly digest: string;
  /** Verified blobs, the lowest first. */
  readonly layers: readonly OciLayer[];
  readonly config: ImageConfig;
}

/** @throws ROOTFS_NOT_FOUND, ROOTFS_INVALID. */
export async function readOciImage(
  layout: string,
  reference: string | undefined,
  signal: AbortSignal,
): Promise<OciImage> {
  try {
    const version = z.object({ imageLayoutVersion: z.string() });
    const { imageLayoutVersion } = parse(version, await readSmall(join(layout, 'oci-layout')), 'oci-layout');
    if (!/^1\./.test(imageLayoutVersion))
      throw invalid(`${layout}: expected an image layout of version 1, got ${imageLayoutVersion}`);
    const top = parse(index, await readSmall(join(layout, 'index.json')), 'index.json');
    const chosen = choose(top.manifests, reference, layout);
    const found = await findManifest(layout, chosen, MAX_INDEX_DEPTH, signal);
    const layers: string[] = [];
    for (const layer of found.layers) {
      if (!LAYER_TYPE.test(layer.mediaType))
        throw invalid(`${layout}: a layer of the kind ${layer.mediaType}, which is not known`);
      layers.push(await verifiedBlob(layout, layer, signal));
    }
    const settings = parse(config, await readBlob(layout, found.config, signal), 'config');
    if ((settings.os ?? 'linux') !== 'linux')
      throw invalid(`${layout}: expected an image for linux, got one for ${settings.os}`);
    const diffIds = settings.rootfs?.diff_ids;
    if (diffIds && diffIds.length !== layers.length)
      throw invalid(`${layout}: its configuration tells of ${diffIds.length} layers, its manifest of ${layers.length}`);
    return {
      digest: found.digest,
      layers: layers.map((path, index) => ({ path, diffId: diffIds?.[index] })),
      config: imageConfig(settings),
    };
  } catch (error) {
    throw sourceError(layout, error);
  }
}

function choose(manifests: readonly Descriptor[], reference: string | undefined, layout: string): Descriptor {
  const named =
    reference === undefined
      ? manifests
      : manifests.filter((it) => it.digest === reference || it.annotations?.[REF_NAME] === reference);
  const runnable = named.length > 1 ? named.filter(forThisMachine) : named;
  const [chosen] = runnable;
  if (chosen && runnable.length === 1) return chosen;
  const names = manifests.map((it) => it.annotations?.[REF_NAME] ?? it.digest).join(', ');
  const wanted = reference === undefined ? 'one image, or a reference' : `one image called ${reference}`;
  throw invalid(`${layout}: expected ${wanted}, got ${names === '' ? 'none' : names}`);
}

function forThisMachine({ platform }: Descriptor): boolean {
  const architecture =
    ({ x64: 'amd64', arm64: 'arm64' } as Readonly<Record<string, string>>)[process.arch] ?? process.arch;
  return platform === undefined || (platform.os === 'linux' && platform.architecture === architecture);
}

async function findManifest(layout: string, chosen: Descriptor, depth: number, signal: AbortSignal) {
  const text = await readBlob(layout, chosen, signal);
  if (MANIFEST_TYPES.includes(chosen.mediaType)) return { digest: chosen.digest, ...parse(manifest, text, 'manifest') };
  if (!INDEX_TYPES.includes(chosen.mediaType))
    throw invalid(`${layout}: a manifest of the kind ${chosen.mediaType}, which is not known`);
  if (depth === 0) throw invalid(`${layout}: indexes within indexes, too many`);
  const { manifests } = parse(index, text, 'image index');
  return findManifest(layout, choose(manifests.filter(forThisMachine), undefined, layout), depth - 1, signal);
}

/** The digest's form has been checked: it is no path. */
const blobPath = (layout: string, { digest: text }: Descriptor) =>
  join(layout, 'blobs', 'sha256', text.slice('sha256:'.length));

async function verifiedBlob(layout: string, blob: Descriptor, signal: AbortSignal): Promise<string> {
  const path = blobPath(layout, blob);
  const { size } = await stat(path);
  if (size !== blob.size) throw invalid(`${path}: expected ${blob.size} bytes, got ${size}`);
  const seen = await digestOf(path, signal);
  if (seen !== blob.digest) throw invalid(`${path}: its digest is ${seen}`);
  return path;
}

async function readBlob(layout: string, blob: Descriptor, signal: AbortSignal): Promise<string> {
  return readSmall(await verifiedBlob(layout, blob, signal));
}

async function readSmall(path: string): Promise<string> {
  const { size } = await stat(path);
  if (size > MAX_JSON_BYTES) throw invalid(`${path}: expected at most ${MAX_JSON_BYTES} bytes, got ${size}`);
  return readFile(path, 'utf8');
}

function parse<T extends z.ZodType>(schema: T, text: string, what: string): z.output<T> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw invalid(`${what}: not JSON: ${(error as Error).message}`);
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw invalid(`${what}: ${issue?.path.join('.') || 'value'}: ${issue?.message ?? 'wrong'}`);
}

export const NO_CONFIG: ImageConfig = Object.freeze({
  env: {},
  entrypoint: [],
  cmd: [],
  workingDirectory: '/',
  volumes: [],
  labels: {},
});

function imageConfig({ config: settings }: z.output<typeof config>): ImageConfig {
  const { Env, Entrypoint, Cmd, WorkingDir, User, Volumes, Labels, StopSignal } = settings ?? {};
  const env: Record<string, string> = {};
  for (const variable of Env ?? []) {
    const at = variable.indexOf('=');
    if (at > 0) env[variable.slice(0, at)] = variable.slice(at + 1);
  }
  return {
    env,
    entrypoint: Entrypoint ?? [],
    cmd: Cmd ?? [],
    workingDirectory: WorkingDir?.startsWith('/') ? WorkingDir : '/',
    ...(User ? { user: User } : {}),
    volumes: Object.keys(Volumes ?? {}),
    labels: Labels ?? {},
    ...(StopSignal ? { stopSignal: StopSignal } : {}),
  };
}
