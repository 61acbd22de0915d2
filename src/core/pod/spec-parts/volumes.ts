import { z } from 'zod';
import { HyperplugError } from '../../errors.js';
import { wrong } from '../spec-errors.js';
import { absolutePath, guestPath, partName, sizeMib } from './common.js';
import { REFUSED_FORMATS } from './refused.js';

const FS_TYPE = /^[a-z0-9][a-z0-9_.-]{0,31}$/;
export const fsType = z.string().regex(FS_TYPE, "a file system by its kernel's name");

const FORMATS = ['raw', 'qcow2', 'vfs', 'tmpfs'] as const;

export const volumeSchema = z.strictObject({
  name: partName,
  source: z
    .union([absolutePath, z.literal('')])
    .optional()
    .describe('path on this host; without it an empty disk is made, which lives as long as the pod'),
  format: z
    .string()
    .optional()
    .describe(
      'raw, qcow2: an image file or block device; vfs: a directory that is shared; tmpfs: in the guest’s memory; default: what the source is',
    ),
  fstype: z
    .union([fsType, z.literal('')])
    .optional()
    .describe('of the file system on the disk; default ext4'),
  readOnly: z.boolean().optional(),
  sizeMib: sizeMib.optional().describe('of a disk that is made (default 1024), or of a tmpfs'),
  path: guestPath.optional().describe("where it is mounted in the pod's own root; containers name their own place"),
});

export type VolumeInput = z.input<typeof volumeSchema>;

export interface VolumeSpec {
  readonly name: string;
  /** `path`: whatever stands there, a directory or an image. `empty`: a disk that is made at the pod's first start. */
  readonly kind: 'path' | 'disk' | 'directory' | 'empty' | 'tmpfs';
  readonly source: string | undefined;
  readonly format: 'raw' | 'qcow2';
  readonly fsType: string;
  readonly readOnly: boolean;
  readonly sizeMib: number | undefined;
  readonly path: string | undefined;
}

const DEFAULT_DISK_MIB = 1024;

/** @throws POD_SPEC_INVALID, NOT_SUPPORTED a format that there is not. */
export function completeVolume(input: z.output<typeof volumeSchema>, field: string): VolumeSpec {
  const { name, readOnly = false, path } = input;
  const source = input.source || undefined;
  const format = input.format || undefined;
  const why = format === undefined ? undefined : REFUSED_FORMATS[format];
  if (why !== undefined) {
    throw new HyperplugError(
      'NOT_SUPPORTED',
      `${field}.format: expected one of ${FORMATS.join(', ')} (${why}), got "${format}"`,
      {
        details: { field: `${field}.format`, expected: FORMATS, received: format, why },
      },
    );
  }
  if (format !== undefined && !(FORMATS as readonly string[]).includes(format)) {
    throw wrong(`${field}.format`, `one of ${FORMATS.join(', ')}`, format);
  }
  const kind = kindOf(source, format);
  if (format === 'tmpfs' && source !== undefined) throw wrong(`${field}.source`, 'nothing for a tmpfs', source);
  if ((format === 'vfs' || format === 'qcow2') && source === undefined)
    throw wrong(`${field}.source`, 'an absolute path', source);
  if (input.sizeMib !== undefined && kind !== 'empty' && kind !== 'tmpfs') {
    throw wrong(`${field}.sizeMib`, 'nothing where there is a source', input.sizeMib);
  }
  const fsTypeGiven = input.fstype || undefined;
  if (kind === 'empty' && fsTypeGiven !== undefined && fsTypeGiven !== 'ext4') {
    throw wrong(`${field}.fstype`, 'ext4 for a disk that is made', fsTypeGiven);
  }
  if ((kind === 'directory' || kind === 'tmpfs') && fsTypeGiven !== undefined) {
    throw wrong(`${field}.fstype`, `nothing for ${kind === 'tmpfs' ? 'a tmpfs' : 'a directory'}`, fsTypeGiven);
  }
  return {
    name,
    kind,
    source,
    format: format === 'qcow2' ? 'qcow2' : 'raw',
    fsType: fsTypeGiven ?? 'ext4',
    readOnly,
    sizeMib: input.sizeMib ?? (kind === 'empty' ? DEFAULT_DISK_MIB : undefined),
    path,
  };
}

function kindOf(source: string | undefined, format: string | undefined): VolumeSpec['kind'] {
  if (format === 'tmpfs') return 'tmpfs';
  if (source === undefined) return 'empty';
  return format === 'vfs' ? 'directory' : format === undefined ? 'path' : 'disk';
}
