import { z } from 'zod';
import type { RootSource } from '../../rootfs.js';
import { wrong } from '../spec-errors.js';
import { absolutePath, sizeMib } from './common.js';
import { fsType } from './volumes.js';

const layer = z
  .strictObject({
    kind: z.enum(['tmpfs', 'disk', 'read-only']),
    sizeMib: sizeMib.optional(),
  })
  .describe(
    'what becomes of what is written: tmpfs: in memory, until the pod stops; disk: as long as the pod; read-only',
  );

/** A root: a path of this host, or one of what it can be by name. */
export const rootSchema = z.union([
  z.string().min(1),
  z.strictObject({
    path: absolutePath.optional().describe('what stands there: a directory, a tar archive, an OCI image layout'),
    directory: absolutePath.optional(),
    archive: absolutePath.optional().describe('tar; plain, or compressed by gzip, xz, bzip2 or zstd'),
    ociLayout: absolutePath.optional(),
    reference: z.string().min(1).optional().describe('with ociLayout: a digest, or a name of its index'),
    image: absolutePath.optional().describe('a file system in a file, or on a block device'),
    fstype: fsType.optional().describe('with image'),
    layer: layer.optional(),
  }),
]);

export const layerSchema = layer;

/** `path`: what stands there is looked at when it is needed. */
export type RootSpec = RootSource | { readonly kind: 'path'; readonly path: string };

export type LayerSpec =
  | { readonly kind: 'tmpfs'; readonly sizeMib?: number }
  | { readonly kind: 'disk'; readonly sizeMib: number }
  | { readonly kind: 'read-only' };

const DEFAULT_LAYER_MIB = 4096;

export interface CompleteRoot {
  readonly root: RootSpec;
  /** As the specification says it. */
  readonly text: string;
  readonly layer: LayerSpec | undefined;
}

/** @throws POD_SPEC_INVALID */
export function completeRoot(input: z.output<typeof rootSchema>, field: string): CompleteRoot {
  if (typeof input === 'string') {
    if (!input.startsWith('/') || input.includes('\0')) {
      const expected =
        'an absolute path, or in a file one that begins with ./ or ../, of a directory, tar archive or OCI image layout (images are not pulled)';
      throw wrong(field, expected, input);
    }
    return { root: { kind: 'path', path: input }, text: input, layer: undefined };
  }
  const { reference, fstype } = input;
  const given = (['path', 'directory', 'archive', 'ociLayout', 'image'] as const).filter(
    (key) => input[key] !== undefined,
  );
  const [key] = given;
  if (key === undefined || given.length > 1) {
    throw wrong(field, 'one of path, directory, archive, ociLayout, image', given.join(' and ') || 'none');
  }
  if (reference !== undefined && key !== 'ociLayout')
    throw wrong(`${field}.reference`, 'nothing without ociLayout', reference);
  if (fstype !== undefined && key !== 'image') throw wrong(`${field}.fstype`, 'nothing without image', fstype);
  const path = input[key] as string;
  const text = reference === undefined ? path : `${path}@${reference}`;
  return { root: rootOf(key, path, reference, fstype), text, layer: completeLayer(input.layer) };
}

function rootOf(
  key: 'path' | 'directory' | 'archive' | 'ociLayout' | 'image',
  path: string,
  reference: string | undefined,
  fstype: string | undefined,
): RootSpec {
  if (key === 'ociLayout') return { kind: 'oci-layout', path, ...(reference !== undefined && { reference }) };
  if (key === 'image') return { kind: 'image', path, fsType: fstype ?? 'ext4' };
  return { kind: key, path };
}

export function completeLayer(input: z.output<typeof layer> | undefined): LayerSpec | undefined {
  if (!input) return undefined;
  const { kind, sizeMib: size } = input;
  if (kind === 'disk') return { kind, sizeMib: size ?? DEFAULT_LAYER_MIB };
  if (kind === 'tmpfs') return { kind, ...(size !== undefined && { sizeMib: size }) };
  return { kind };
}
