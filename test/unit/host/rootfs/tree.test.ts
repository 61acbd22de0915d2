import { expect } from 'chai';
import { hasCode } from '../../../../src/core/errors.js';
import { type PackEntry, pack } from '../../../../src/core/tar/pack.js';
import { unpack } from '../../../../src/core/tar/unpack.js';
import { mergedArchive, readTree } from '../../../../src/host/rootfs/merge.js';
import { DEFAULT_TREE_LIMITS, type TreeLimits } from '../../../../src/host/rootfs/tree.js';

interface Item {
  readonly type?: PackEntry['type'];
  readonly target?: string;
  readonly content?: string;
  readonly mode?: number;
  readonly xattrs?: ReadonlyMap<string, Buffer>;
}

type Layer = readonly (readonly [path: string, item: Item | string])[];

async function* entries(layer: Layer): AsyncGenerator<PackEntry> {
  for (const [path, item] of layer) {
    const {
      type = 'file',
      target = '',
      content = '',
      mode = 0o644,
      xattrs,
    } = typeof item === 'string' ? { content: item } : item;
    const body = Buffer.from(content);
    const header = {
      path,
      type,
      mode,
      sizeBytes: type === 'file' ? body.length : 0,
      modifiedAt: 7,
      uid: 3,
      gid: 4,
      target,
    };
    yield {
      ...header,
      ...(xattrs ? { xattrs } : {}),
      content: (async function* () {
        yield body;
      })(),
    };
  }
}

const DIRECTORY = { type: 'directory', mode: 0o750 } as const;
const link = (target: string) => ({ type: 'symlink', target }) as const;
const hard = (target: string) => ({ type: 'hardlink', target }) as const;

/** What the merged archive of these layers holds: by path its content, `-> target`, `= first link` or `/`. */
async function merge(
  layers: readonly Layer[],
  limits: TreeLimits = DEFAULT_TREE_LIMITS,
): Promise<Record<string, string>> {
  const sources = layers.map((layer) => () => pack(entries(layer)));
  const tree = await readTree(sources, limits);
  const found: Record<string, string> = {};
  for await (const entry of unpack(mergedArchive(sources, tree))) {
    const parts: Buffer[] = [];
    for await (const part of entry.content) parts.push(part);
    const kinds: Partial<Record<PackEntry['type'], string>> = {
      directory: '/',
      symlink: `-> ${entry.target}`,
      hardlink: `= ${entry.target}`,
    };
    found[entry.path] = kinds[entry.type] ?? Buffer.concat(parts).toString();
  }
  return found;
}

async function refused(layers: readonly Layer[], words: RegExp, limits?: TreeLimits): Promise<void> {
  const error = await merge(layers, limits).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(hasCode(error, 'ROOTFS_INVALID'), String(error)).to.equal(true);
  expect((error as Error).message).to.match(words);
}

describe('root images: layers', () => {
  it('the upper of two layers wins, file by file, and directories are merged', async () => {
    const merged = await merge([
      [
        ['etc', DIRECTORY],
        ['etc/a', 'lower'],
        ['etc/b', 'lower'],
      ],
      [
        ['etc/b', 'upper'],
        ['etc/c', 'upper'],
      ],
    ]);
    expect(merged).to.deep.equal({ etc: '/', 'etc/a': 'lower', 'etc/b': 'upper', 'etc/c': 'upper' });
  });

  it('a whiteout hides what lies below, whichever way round the layer says it, and never what the layer itself brings', async () => {
    const lower: Layer = [
      ['d', DIRECTORY],
      ['d/old', 'x'],
      ['gone', 'x'],
      ['dir', DIRECTORY],
      ['dir/x', 'x'],
    ];
    const upper: Layer = [
      ['.wh.gone', ''],
      ['.wh.dir', ''],
      ['d', DIRECTORY],
      ['d/new', 'y'],
      ['.wh.d', ''],
    ];
    for (const layer of [upper, [...upper].reverse()]) {
      expect(await merge([lower, layer])).to.deep.equal({ d: '/', 'd/new': 'y' });
    }
  });

  it('an opaque directory shows the layer that made it so alone', async () => {
    const lower: Layer = [
      ['d', DIRECTORY],
      ['d/a', 'x'],
      ['d/sub', DIRECTORY],
      ['d/sub/b', 'x'],
      ['e', 'x'],
    ];
    const upper: Layer = [
      ['d/sub/c', 'y'],
      ['d/.wh..wh..opq', ''],
    ];
    for (const layer of [upper, [...upper].reverse()]) {
      expect(await merge([lower, layer])).to.deep.equal({ d: '/', 'd/sub': '/', 'd/sub/c': 'y', e: 'x' });
    }
  });

  it('hard links share one content across layers, also when the first name is gone', async () => {
    const merged = await merge([
      [
        ['a', 'shared'],
        ['b', hard('a')],
      ],
      [
        ['c', hard('/b')],
        ['.wh.a', ''],
      ],
    ]);
    expect(merged).to.deep.equal({ b: 'shared', c: '= b' });
  });

  it('a name goes through the symbolic links of lower layers, and stays within the root', async () => {
    const merged = await merge([
      [
        ['usr/lib', DIRECTORY],
        ['lib', link('usr/lib')],
        ['up', link('../../../etc')],
        ['abs', link('/opt')],
      ],
      [
        ['lib/x', '1'],
        ['up/y', '2'],
        ['abs/z', '3'],
      ],
    ]);
    expect(merged).to.include({ 'usr/lib/x': '1', 'etc/y': '2', 'opt/z': '3', lib: '-> usr/lib' });
  });

  it('absolute names are below the root; devices are left out', async () => {
    const merged = await merge([
      [
        ['/etc/passwd', 'mine'],
        ['./etc//group', 'ours'],
        ['dev/sda', { type: 'block-device' }],
      ],
    ]);
    expect(merged).to.deep.equal({ etc: '/', 'etc/passwd': 'mine', 'etc/group': 'ours', dev: '/' });
  });

  it('owners, modes, times and attributes are kept', async () => {
    const capability = Buffer.from([1, 0, 0, 2, 0x0a, 0x3d, 0xff, 0]);
    const layer: Layer = [
      ['ping', { content: 'p', mode: 0o4755, xattrs: new Map([['security.capability', capability]]) }],
    ];
    const sources = [() => pack(entries(layer))];
    for await (const entry of unpack(mergedArchive(sources, await readTree(sources, DEFAULT_TREE_LIMITS)))) {
      expect(entry).to.include({ path: 'ping', mode: 0o4755, uid: 3, gid: 4, modifiedAt: 7 });
      expect(entry.xattrs?.get('security.capability')).to.deep.equal(capability);
    }
  });

  it('refuses names that lead upwards, links to nothing, and loops', async () => {
    await refused([[['../x', '']]], /leads upwards/);
    await refused([[['a/../../x', '']]], /leads upwards/);
    await refused([[['x', hard('../../etc/shadow')]]], /leads upwards/);
    await refused([[['x', hard('nothing')]]], /no file/);
    await refused(
      [
        [
          ['a', link('b')],
          ['b', link('a')],
          ['a/x', ''],
        ],
      ],
      /too many symbolic links/,
    );
    await refused([[['.wh...', '']]], /whiteout of nothing/);
    await refused([[['x\ny', '']]], /one line/);
    await refused([[['n'.repeat(256), '']]], /255 bytes/);
  });

  it('refuses more than its limits', async () => {
    const limits = { maxEntries: 3, maxBytes: 10 };
    await refused(
      [
        [
          ['a', ''],
          ['b', ''],
          ['c', ''],
          ['d', ''],
        ],
      ],
      /more than 3 entries/,
      limits,
    );
    await refused([[['a/b/c/d', '']]], /more than 3 entries/, limits);
    await refused([[['a', '01234567890']]], /more than 10 bytes/, limits);
  });
});
