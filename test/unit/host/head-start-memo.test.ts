import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import type { VmNic, VmSpec } from '../../../src/core/hypervisor.js';
import type { Ahead } from '../../../src/host/head-start.js';
import {
  filled,
  forgetMemo,
  type MemoPlace,
  macsIn,
  memoPlace,
  readMemo,
  rememberable,
  textOf,
  writeMemo,
} from '../../../src/host/head-start-memo.js';

const nic = (id: string, mac: string): VmNic => ({
  id,
  mac,
  mtu: 1500,
  queues: 1,
  endpoint: { kind: 'interface', name: 'lo' },
});

function ahead(id: string, macs: readonly string[]): Ahead {
  const spec: Partial<VmSpec> = {
    id,
    runDir: `/run/pods/${id}`,
    consoleLogPath: `/state/pods/${id}/console.log`,
    nics: macs.map((mac, index) => nic(`n${index}`, mac)),
  };
  return { spec: spec as VmSpec };
}

describe('what is remembered of a launch', () => {
  let directory: string;
  let place: MemoPlace;
  let path: string;
  const memo = (text: string) => ({ driver: 'd', text, recipe: '1\0x\0' });

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'hp-memo-'));
    place = memoPlace(directory, Buffer.from('run\0'));
    ({ path } = place);
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  it('is the same for VMs that differ in their id and MAC addresses alone, and becomes another such', () => {
    const one = ahead('pod-0123456789', ['02:00:00:00:00:01', '02:00:00:00:00:02']);
    const other = ahead('pod-abcdef0123', ['02:00:00:00:00:03', '02:00:00:00:00:04']);
    const known = memo(textOf(one));
    expect(textOf(other)).to.equal(known.text);
    expect(macsIn(known)).to.have.length(2);
    expect(filled(known, other.spec.id, ['02:00:00:00:00:03', '02:00:00:00:00:04'])).to.deep.equal(other);
    expect(textOf(ahead('pod-abcdef0123', ['02:00:00:00:00:03']))).to.not.equal(known.text);
  });

  it('is of no pod that was given a name', () => {
    expect(rememberable(ahead('pod-0123456789', []))).to.equal(true);
    expect(rememberable(ahead('web', []))).to.equal(false);
  });

  it('is read back, open to nobody else, and forgotten', () => {
    writeMemo(place, memo('{}'));
    expect(readMemo(place)).to.deep.equal(memo('{}'));
    expect(statSync(path).mode & 0o777).to.equal(0o600);
    const { ino } = statSync(path);
    writeMemo(place, memo('{}'));
    expect(statSync(path).ino).to.equal(ino);
    writeMemo(place, memo('[]'));
    expect(readMemo(place)?.text).to.equal('[]');
    forgetMemo(place);
    expect(readMemo(place)).to.equal(undefined);
    expect(readdirSync(directory)).to.deep.equal([]);
  });

  it('is not believed where others can have written it, or where it is no memo', () => {
    writeMemo(place, memo('{}'));
    chmodSync(path, 0o620);
    expect(readMemo(place)).to.equal(undefined);
    writeMemo(place, memo('{}'));
    expect(statSync(path).mode & 0o777).to.equal(0o600);
    for (const content of ['', '{', '[]', 'null', '{"driver":1,"text":"{}"}', '{"driver":"d"}']) {
      writeFileSync(path, content);
      expect(readMemo(place), content).to.equal(undefined);
    }
  });

  it('is not waited for where something else is in its place', () => {
    execFileSync('mkfifo', [path]);
    expect(readMemo(place)).to.equal(undefined);
    rmSync(path);
    symlinkSync('/etc/hostname', path);
    expect(readMemo(place)).to.equal(undefined);
  });

  it('is kept of some commands, those that were written last', () => {
    for (let index = 0; index < 20; index++) {
      const each = memoPlace(directory, Buffer.from(`${index}`));
      writeMemo(each, memo(`${index}`));
      utimesSync(each.path, index, index);
    }
    const texts = [...Array(20).keys()].flatMap((index) => {
      const kept = readMemo(memoPlace(directory, Buffer.from(`${index}`)));
      return kept ? [kept.text] : [];
    });
    expect(texts.map(Number).sort((a, b) => a - b)).to.deep.equal([
      4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19,
    ]);
  });

  it('is not written where that cannot be, and nothing is said of it', () => {
    writeMemo(memoPlace(join(directory, 'missing'), place.subject), memo('{}'));
    expect(readdirSync(directory)).to.deep.equal([]);
  });
});
