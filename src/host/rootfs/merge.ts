import { type PackEntry, pack } from '../../core/tar/pack.js';
import { unpack } from '../../core/tar/unpack.js';
import { type Inode, Tree, type TreeLimits, type TreeNode } from './tree.js';

/** A layer that can be read more than once, the same each time. @throws what is wrong with it. */
export type LayerSource = () => AsyncIterable<Uint8Array>;

/** The names of all layers together, the lowest first. @throws ROOTFS_INVALID, POD_COPY_FAILED. */
export async function readTree(layers: readonly LayerSource[], limits: TreeLimits): Promise<Tree> {
  const tree = new Tree(limits);
  for (const [layer, source] of layers.entries()) {
    let entry = 0;
    const bytes = source()[Symbol.asyncIterator]();
    try {
      for await (const header of unpack({ [Symbol.asyncIterator]: () => ({ next: () => bytes.next() }) })) {
        tree.add(header, layer, entry++);
      }
      // What lies behind the end of an archive belongs to its digest.
      while (!(await bytes.next()).done);
    } finally {
      await bytes.return?.();
    }
  }
  return tree;
}

/** One archive of what is left of all layers: directories first, and each content as it comes by a second time. */
export function mergedArchive(layers: readonly LayerSource[], tree: Tree): AsyncGenerator<Buffer, void, undefined> {
  return pack(mergedEntries(layers, tree));
}

async function* mergedEntries(layers: readonly LayerSource[], tree: Tree): AsyncGenerator<PackEntry> {
  const files = new Map<string, { readonly inode: Inode; readonly paths: string[] }>();
  const others: PackEntry[] = [];
  const visit = function* (node: TreeNode, path: string): Generator<PackEntry> {
    if (node.kind === 'file') {
      const key = keyOf(node.inode.layer, node.inode.entry);
      const known = files.get(key);
      if (known) known.paths.push(path);
      else files.set(key, { inode: node.inode, paths: [path] });
    } else if (node.kind === 'other') {
      others.push({ ...node.header, path });
    } else {
      if (path !== '') yield { ...node.header, path };
      for (const [name, child] of node.children) yield* visit(child, path === '' ? name : `${path}/${name}`);
    }
  };
  yield* visit(tree.root, '');
  yield* others;
  for (const [layer, source] of layers.entries()) {
    let entry = 0;
    for await (const { content } of unpack(source())) {
      const file = files.get(keyOf(layer, entry++));
      if (!file) continue;
      const [first, ...more] = file.paths as [string, ...string[]];
      yield { ...file.inode.header, path: first, content };
      for (const path of more) yield { ...file.inode.header, type: 'hardlink', path, target: first, sizeBytes: 0 };
    }
  }
}

const keyOf = (layer: number, entry: number) => `${layer}:${entry}`;
