import type { TarHeader } from '../../core/tar/header.js';
import { invalid } from './errors.js';

/** What may be made of one source; an image larger than this is a mistake or an attack. */
export interface TreeLimits {
  readonly maxEntries: number;
  readonly maxBytes: number;
}

export const DEFAULT_TREE_LIMITS: TreeLimits = { maxEntries: 2_000_000, maxBytes: 64 * 1024 ** 3 };

const MAX_PATH_BYTES = 4095;
const MAX_NAME_BYTES = 255;
/** As Linux: MAXSYMLINKS. */
const MAX_LINKS = 40;
/** image-spec/layer.md: what a layer says of those below it. */
const WHITEOUT = '.wh.';
const OPAQUE = '.wh..wh..opq';

/** A file's content: the nth entry of the nth layer. */
export interface Inode {
  readonly layer: number;
  readonly entry: number;
  /** Owner, mode, size: those of the entry. */
  readonly header: TarHeader;
}

export interface DirectoryNode {
  readonly kind: 'directory';
  header: TarHeader;
  readonly children: Map<string, TreeNode>;
  /** The last that spoke of it. */
  layer: number;
}
export interface FileNode {
  readonly kind: 'file';
  readonly inode: Inode;
  readonly layer: number;
}
export interface OtherNode {
  readonly kind: 'other';
  readonly header: TarHeader;
  readonly layer: number;
}
export type TreeNode = DirectoryNode | FileNode | OtherNode;

/**
 * The names of a file system, layer upon layer, without a byte of it written anywhere: what a hostile archive says of its names
 * has no meaning outside of this. Absolute names are below the root as any other, `..` is refused, and symbolic links lead to
 * places of this tree alone.
 */
export class Tree {
  readonly root: DirectoryNode = directory('', 0);
  /** Kinds that have no place in an image: devices. */
  skipped = 0;
  #entries = 0;
  #bytes = 0;

  constructor(readonly limits: TreeLimits) {}

  /** An entry of layer `layer`, the lowest first. @throws ROOTFS_INVALID */
  add(header: TarHeader, layer: number, entry: number): void {
    this.#count(header);
    const parts = partsOf(header.path);
    const name = parts.at(-1);
    if (name === undefined) {
      if (header.type === 'directory') this.root.header = header;
      return;
    }
    if (name === OPAQUE) {
      hideLower(this.#directory(parts.slice(0, -1), layer), layer);
      return;
    }
    if (name.startsWith(WHITEOUT)) {
      const hidden = name.slice(WHITEOUT.length);
      if (hidden === '' || hidden === '.' || hidden === '..') throw invalid(`a whiteout of nothing: ${header.path}`);
      const parent = this.#find(parts.slice(0, -1));
      // What this very layer brings is not hidden by it, whichever came first.
      if (parent?.kind === 'directory') hideChild(parent, hidden, layer);
      return;
    }
    const parent = this.#directory(parts.slice(0, -1), layer);
    const node = this.#node(header, layer, entry);
    if (!node) return;
    const before = parent.children.get(name);
    if (node.kind === 'directory' && before?.kind === 'directory') {
      before.header = header;
      before.layer = layer;
    } else parent.children.set(name, node);
  }

  #node(header: TarHeader, layer: number, entry: number): TreeNode | undefined {
    switch (header.type) {
      case 'directory':
        return directory(header.path, layer, header);
      case 'file':
        return { kind: 'file', inode: { layer, entry, header }, layer };
      case 'hardlink': {
        const target = this.#find(partsOf(header.target));
        if (target?.kind !== 'file') throw invalid(`${header.path}: a link to ${header.target}, which is no file`);
        return { kind: 'file', inode: target.inode, layer };
      }
      case 'character-device':
      case 'block-device':
        // A container has devices of its own; those of an image could be any of the host's.
        this.skipped += 1;
        return undefined;
      default:
        return { kind: 'other', header, layer };
    }
  }

  #count({ path, target, sizeBytes }: TarHeader): void {
    this.#entries += 1;
    this.#bytes += sizeBytes;
    const { maxEntries, maxBytes } = this.limits;
    if (this.#entries > maxEntries) throw invalid(`more than ${maxEntries} entries`);
    if (this.#bytes > maxBytes) throw invalid(`more than ${maxBytes} bytes`);
    for (const name of [path, target]) {
      if (name.includes('\0') || name.includes('\n') || Buffer.byteLength(name) > MAX_PATH_BYTES) {
        throw invalid(
          `expected names of at most ${MAX_PATH_BYTES} bytes on one line, got ${JSON.stringify(name.slice(0, 200))}`,
        );
      }
    }
  }

  #find(parts: readonly string[]): TreeNode | undefined {
    const name = parts.at(-1);
    const parent = name === undefined ? this.root : this.#walk(parts.slice(0, -1), undefined);
    return name === undefined ? parent : parent?.children.get(name);
  }

  #directory(parts: readonly string[], layer: number): DirectoryNode {
    return this.#walk(parts, layer) as DirectoryNode;
  }

  /**
   * Through symbolic links, as a runtime that unpacks layers goes, but never above the root. With `layer` a directory is made where
   * one is missing, or where something else has its name; else undefined is given then.
   */
  #walk(parts: readonly string[], layer: number | undefined): DirectoryNode | undefined {
    const left = [...parts].reverse();
    const path: DirectoryNode[] = [this.root];
    let links = 0;
    for (let part = left.pop(); part !== undefined; part = left.pop()) {
      if (part === '..') {
        if (path.length > 1) path.pop();
        continue;
      }
      const here = path.at(-1) as DirectoryNode;
      const next = here.children.get(part);
      if (next?.kind === 'directory') path.push(next);
      else if (next?.kind === 'other' && next.header.type === 'symlink') {
        if (++links > MAX_LINKS) throw invalid(`too many symbolic links: ${parts.join('/')}`);
        const { target } = next.header;
        if (target.startsWith('/')) path.length = 1;
        left.push(...target.split('/').filter(isPart).reverse());
      } else if (layer === undefined) return undefined;
      else {
        this.#count({ ...PLAIN, path: part });
        const made = directory(part, layer);
        here.children.set(part, made);
        path.push(made);
      }
    }
    return path.at(-1);
  }
}

/** What lower layers have below it. */
function hideLower(parent: DirectoryNode, layer: number): void {
  for (const name of [...parent.children.keys()]) hideChild(parent, name, layer);
}

function hideChild(parent: DirectoryNode, name: string, layer: number): void {
  const node = parent.children.get(name);
  if (node?.kind === 'directory') {
    hideLower(node, layer);
    if (node.children.size > 0) return;
  }
  if (node && node.layer < layer) parent.children.delete(name);
}

const isPart = (part: string) => part !== '' && part !== '.';
const PLAIN = {
  mode: 0o755,
  sizeBytes: 0,
  modifiedAt: 0,
  uid: 0,
  gid: 0,
  target: '',
  path: '',
  type: 'directory',
} as const;

function directory(path: string, layer: number, header: TarHeader = { ...PLAIN, path }): DirectoryNode {
  return { kind: 'directory', header, children: new Map(), layer };
}

/** @throws ROOTFS_INVALID */
function partsOf(path: string): string[] {
  const parts = path.split('/').filter(isPart);
  for (const part of parts) {
    if (part === '..') throw invalid(`a name that leads upwards: ${path}`);
    if (Buffer.byteLength(part) > MAX_NAME_BYTES) throw invalid(`a name of more than ${MAX_NAME_BYTES} bytes: ${path}`);
  }
  return parts;
}
