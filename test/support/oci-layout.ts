import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { type PackEntry, pack } from '../../src/core/tar/pack.js';

export interface LayerFile {
  readonly path: string;
  readonly content?: string | Buffer;
  readonly type?: PackEntry['type'];
  readonly target?: string;
  readonly mode?: number;
  readonly uid?: number;
}

/** A tar archive of these. */
export async function tarOf(files: readonly LayerFile[]): Promise<Buffer> {
  async function* entries(): AsyncGenerator<PackEntry> {
    for (const { path, content = '', type = 'file', target = '', mode, uid = 0 } of files) {
      const body = Buffer.from(content);
      const plain = {
        path,
        type,
        target,
        uid,
        gid: uid,
        modifiedAt: 1,
        mode: mode ?? (type === 'directory' ? 0o755 : 0o644),
      };
      async function* bytes() {
        yield body;
      }
      yield { ...plain, sizeBytes: type === 'file' ? body.length : 0, content: bytes() };
    }
  }
  const parts: Buffer[] = [];
  for await (const part of pack(entries())) parts.push(part);
  return Buffer.concat(parts);
}

/** An image layout with one image, called `latest`: layers are tar archives, the lowest first, each gzipped. */
export function writeOciLayout(
  folder: string,
  layers: readonly Buffer[],
  config: object,
  diffIds = layers.map((layer) => `sha256:${createHash('sha256').update(layer).digest('hex')}`),
): { readonly digest: string } {
  mkdirSync(join(folder, 'blobs/sha256'), { recursive: true });
  const blob = (content: Buffer, mediaType: string) => {
    const hex = createHash('sha256').update(content).digest('hex');
    writeFileSync(join(folder, 'blobs/sha256', hex), content);
    return { mediaType, digest: `sha256:${hex}`, size: content.length };
  };
  const json = (value: object, mediaType: string) => blob(Buffer.from(JSON.stringify(value)), mediaType);
  const manifest = json(
    {
      schemaVersion: 2,
      config: json(
        { os: 'linux', architecture: 'amd64', config, rootfs: { type: 'layers', diff_ids: diffIds } },
        'application/vnd.oci.image.config.v1+json',
      ),
      layers: layers.map((layer) => blob(gzipSync(layer), 'application/vnd.oci.image.layer.v1.tar+gzip')),
    },
    'application/vnd.oci.image.manifest.v1+json',
  );
  const named = { ...manifest, annotations: { 'org.opencontainers.image.ref.name': 'latest' } };
  writeFileSync(join(folder, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
  writeFileSync(join(folder, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [named] }));
  return { digest: manifest.digest };
}
