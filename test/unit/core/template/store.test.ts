import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import type { TemplateManifest } from '../../../../src/core/template/manifest.js';
import { type StoredTemplate, TemplateStore } from '../../../../src/core/template/store.js';
import { hostServices } from '../../../../src/host/host-services.js';
import { rejects } from '../../../support/rejects.js';
import { tempDirs } from '../../../support/temp-dir.js';

const call = () => ({ signal: AbortSignal.timeout(10_000) });
const wanted = async () => false;
let serial = 0;

function manifest(name: string, changes: Partial<TemplateManifest> = {}): TemplateManifest {
  return {
    version: 1,
    name,
    automatic: false,
    memoryMib: 128,
    cpus: 1,
    nicSlots: 2,
    hypervisor: 'fake',
    image: 'Linux',
    agent: { plugin: 'fake', description: 'fake 1' },
    saved: { version: 1, driver: 'fake', key: 'k', data: null },
    sizeBytes: 1,
    createdAt: `2026-01-01T00:00:00.${String(serial++).padStart(3, '0')}Z`,
    ...changes,
  };
}

describe('TemplateStore', () => {
  const temp = tempDirs();
  const open = (directory: string) => new TemplateStore(join(directory, 'templates'), hostServices);
  const make = (store: TemplateStore, name: string, content = 'memory') =>
    store.make(name, call(), wanted, async (directory) => {
      writeFileSync(join(directory, 'memory'), content);
      return manifest(name);
    });
  const entries = (store: TemplateStore) => readdirSync(store.directory).sort();

  it('has what was made, whole, for its owner alone, and nothing beside it', async () => {
    const store = open(temp());
    expect(await store.list()).to.deep.equal({ templates: [], broken: [] });
    const made = await make(store, 'small');
    expect(made).to.include({ name: 'small', memoryMib: 128, directory: join(store.directory, 'small') });
    expect(statSync(store.directory).mode & 0o777).to.equal(0o700);
    expect(statSync(made.directory).mode & 0o777).to.equal(0o700);
    expect(statSync(join(made.directory, 'template.json')).mode & 0o777).to.equal(0o600);
    expect(entries(store)).to.deep.equal(['small']);
    expect(await store.leftovers(() => undefined)).to.deep.equal([]);
    expect((await store.list()).templates.map(({ name }) => name)).to.deep.equal(['small']);
  });

  it('a making that fails leaves what was there before, or nothing', async () => {
    const store = open(temp());
    const fail = async (directory: string): Promise<TemplateManifest> => {
      writeFileSync(join(directory, 'memory'), 'half');
      throw new Error('of the test');
    };
    const failed = async () => {
      const error = await store.make('small', call(), wanted, fail).catch((reason: Error) => reason);
      expect(error).to.have.property('message', 'of the test');
    };
    await failed();
    expect(entries(store)).to.deep.equal([]);
    const made = await make(store, 'small');
    await failed();
    expect(entries(store)).to.deep.equal(['small']);
    expect((await store.read('small')).createdAt).to.equal(made.createdAt);
    expect(readFileSync(join(made.directory, 'memory'), 'utf8')).to.equal('memory');
  });

  it('of two that make it at once the second takes what the first has made', async () => {
    const store = open(temp());
    let made = 0;
    const already = async (found: StoredTemplate | undefined) => found !== undefined;
    const body = async () => {
      made += 1;
      await new Promise((resolve) => setTimeout(resolve, 20));
      return manifest('small');
    };
    const both = await Promise.all([1, 2].map(() => store.make('small', call(), already, body)));
    expect(made).to.equal(1);
    expect(both[0]?.createdAt).to.equal(both[1]?.createdAt);
  });

  it('is not taken from a launch under way, nor changed under it', async () => {
    const store = open(temp());
    const made = await make(store, 'small');
    const order: string[] = [];
    let launched = () => {};
    const launching = store.use(made, call(), async () => {
      order.push('launch');
      await new Promise<void>((resolve) => {
        launched = resolve;
      });
      expect(existsSync(join(made.directory, 'memory'))).to.equal(true);
      order.push('launched');
    });
    while (order.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    const another = store.use(made, call(), async () => void order.push('another'));
    await another;
    const removal = store.remove('small', call()).then(() => order.push('removed'));
    await new Promise((resolve) => setTimeout(resolve, 30));
    launched();
    await Promise.all([launching, removal]);
    expect(order).to.deep.equal(['launch', 'another', 'launched', 'removed']);
    expect(entries(store)).to.deep.equal([]);
    expect(await store.remove('small', call())).to.equal(false);
    await rejects(
      store.use(made, call(), async () => {}),
      'TEMPLATE_NOT_FOUND',
      'small',
    );
  });

  it('one that was made anew since is told as such', async () => {
    const store = open(temp());
    const first = await make(store, 'small');
    const second = await make(store, 'small', 'other');
    await rejects(
      store.use(first, call(), async () => {}),
      'TEMPLATE_STALE',
      'made anew',
    );
    expect(
      await store.use(second, call(), async () => readFileSync(join(second.directory, 'memory'), 'utf8')),
    ).to.equal('other');
  });

  it('one that cannot be read is told beside the others, and can be removed and made', async () => {
    const store = open(temp());
    await make(store, 'good');
    for (const [name, text] of [
      ['nonsense', '{'],
      ['later', JSON.stringify({ ...manifest('later'), version: 2 })],
      ['other', JSON.stringify(manifest('somebody-else'))],
    ] as const) {
      mkdirSync(join(store.directory, name));
      writeFileSync(join(store.directory, name, 'template.json'), text);
    }
    mkdirSync(join(store.directory, 'empty'));
    mkdirSync(join(store.directory, 'No Name'));
    const { templates, broken } = await store.list();
    expect(templates.map(({ name }) => name)).to.deep.equal(['good']);
    expect(broken.map(({ name }) => name)).to.deep.equal(['empty', 'later', 'nonsense', 'other']);
    await rejects(store.read('later'), 'TEMPLATE_STALE', 'another version');
    expect(await store.remove('nonsense', call())).to.equal(true);
    expect((await make(store, 'later')).name).to.equal('later');
  });

  describe('what somebody who died left', () => {
    const leave = (store: TemplateStore, ...names: string[]) => {
      for (const name of names) {
        if (name.endsWith('.lock')) writeFileSync(join(store.directory, name), '');
        else {
          mkdirSync(join(store.directory, name), { recursive: true });
          writeFileSync(join(store.directory, name, 'memory'), 'half');
        }
      }
    };

    it('half made: goes, and the next one to make it starts afresh', async () => {
      const store = open(temp());
      await make(store, 'kept');
      leave(store, '.small.new', '.small.making.lock', '.small.lock');
      const [found, ...more] = await store.leftovers(() => undefined);
      expect([found?.name, found?.paths.length, found?.held, more]).to.deep.equal(['small', 3, false, []]);
      expect(await store.tidy('small', call())).to.equal(true);
      expect(entries(store)).to.deep.equal(['kept']);
      leave(store, '.small.new');
      await make(store, 'small');
      expect(entries(store)).to.deep.equal(['kept', 'small']);
      expect(readFileSync(join(store.place('small'), 'memory'), 'utf8')).to.equal('memory');
    });

    it('half replaced: the old one is there again', async () => {
      const store = open(temp());
      leave(store, '.small.old', '.small.new');
      writeFileSync(join(store.directory, '.small.old', 'template.json'), JSON.stringify(manifest('small')));
      await store.tidy('small', call());
      expect(entries(store)).to.deep.equal(['small']);
      expect((await store.read('small')).name).to.equal('small');
    });

    it('half removed: goes', async () => {
      const store = open(temp());
      leave(store, '.small.old');
      await store.tidy('small', call());
      expect(entries(store)).to.deep.equal([]);
    });

    it('is left alone while somebody is at it', async () => {
      const store = open(temp());
      let done = () => {};
      const making = store.make('small', call(), wanted, async () => {
        await new Promise<void>((resolve) => {
          done = resolve;
        });
        return manifest('small');
      });
      while (!existsSync(join(store.directory, '.small.new'))) await new Promise((resolve) => setTimeout(resolve, 2));
      expect(await store.tidy('small', call())).to.equal(false);
      done();
      expect((await making).name).to.equal('small');
    });
  });
});
