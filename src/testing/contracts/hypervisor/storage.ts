import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { DiskFormat, VmDisk, VmShare } from '../../../core/hypervisor.js';
import { assertNamesField } from '../../kit/assertions.js';
import { expectCode } from '../../runner.js';
import type { HypervisorContext, HypervisorSuite } from './context.js';
import type { HypervisorContract } from './types.js';

const DISK_BYTES = 1024 * 1024;

export function storageContract({ describe, check }: HypervisorSuite, contract: HypervisorContract): void {
  const { disks, shares } = contract.capabilities;
  const noDisks = !(disks && disks.max > 0) && 'disks is not declared';
  const noShares = !(shares && shares.max > 0) && 'shares is not declared';
  const refused = async ({ driver, spec, options }: HypervisorContext, parts: object, field: string) => {
    assertNamesField(await expectCode(driver.launch(spec(parts), options()), 'VM_SPEC_INVALID'), field);
  };

  describe('disks', () => {
    check(
      'launch() with disks rejects with NOT_SUPPORTED where disks is not declared',
      async (context) => {
        const { driver, spec, options } = context;
        const call = driver.launch(spec({ disks: [await disk(context, 'root')] }), options());
        await expectCode(call, 'NOT_SUPPORTED');
      },
      !noDisks && 'it is declared',
    );

    check(
      'a VM has its disks: one that it only reads is as it was afterwards',
      async (context) => {
        const reading = await disk(context, 'reading');
        const before = await digest(reading.path);
        const vm = await context.launch({ disks: [reading] });
        assert.equal(vm.state, 'running');
        await vm.kill(context.options());
        assert.equal(await digest(reading.path), before);
      },
      noDisks,
    );

    check(
      'as many disks as are declared, of each format that can be made here',
      async (context) => {
        const wanted = Array.from({ length: disks?.max ?? 0 }, (_, index) => disk(context, `disk${index}`, false));
        const vm = await context.launch({ disks: await Promise.all(wanted) });
        assert.equal(vm.state, 'running');
      },
      noDisks || (!disks?.formats.includes('raw') && 'raw is not declared'),
    );

    check(
      'a disk that is only read can be in several VMs at once',
      async (context) => {
        const shared = await disk(context, 'shared');
        await context.launch({ disks: [shared] });
        const elsewhere = join(dirname(context.runDir), 'other');
        await mkdir(elsewhere, { mode: 0o700 });
        const other = context.spec({ disks: [shared], id: `${context.id}-b`, runDir: elsewhere });
        const vm = context.track(await (await context.another()).launch(other, context.options()));
        assert.equal(vm.state, 'running');
      },
      noDisks,
    );

    check(
      'launch() with a disk whose file is not there rejects with VM_SPEC_INVALID and leaves nothing; a retry works',
      async (context) => {
        const missing = { ...(await disk(context, 'root')), path: '/no/such/disk' };
        await refused(context, { disks: [missing] }, 'disks[0].path');
        assert.equal((await context.launch({ disks: [await disk(context, 'root')] })).state, 'running');
      },
      noDisks,
    );

    check(
      'launch() with two disks of one id, with a malformed id, or with too many rejects with VM_SPEC_INVALID',
      async (context) => {
        const one = await disk(context, 'root');
        await refused(context, { disks: [one, one] }, 'disks');
        for (const id of ['', 'UPPER', 'x'.repeat(21), 'a,b']) {
          await refused(context, { disks: [{ ...one, id }] }, 'disks[0].id');
        }
        const many = Array.from({ length: (disks?.max ?? 0) + 1 }, (_, index) => ({ ...one, id: `disk${index}` }));
        await refused(context, { disks: many }, 'disks');
      },
      noDisks,
    );

    for (const format of ['raw', 'qcow2'] satisfies DiskFormat[]) {
      check(
        `launch() with a disk in format ${format}, which is not declared, rejects with NOT_SUPPORTED`,
        async (context) => {
          const other = { ...(await disk(context, 'root')), format };
          const { driver, spec, options } = context;
          await expectCode(driver.launch(spec({ disks: [other] }), options()), 'NOT_SUPPORTED');
        },
        disks?.formats.includes(format) && 'it is declared',
      );
    }
  });

  describe('shares', () => {
    check(
      'launch() with shares rejects with NOT_SUPPORTED where shares is not declared',
      async (context) => {
        const { driver, spec, options } = context;
        const call = driver.launch(spec({ shares: [await share(context, 'work')] }), options());
        await expectCode(call, 'NOT_SUPPORTED');
      },
      !noShares && 'it is declared',
    );

    check(
      'a VM has its shares, and ends with nothing of theirs left',
      async (context) => {
        const work = await share(context, 'work');
        const vm = await context.launch({ shares: [work] });
        assert.equal(vm.state, 'running');
        await vm.kill(context.options());
        assert.deepEqual(await readdir(work.path), ['file']);
      },
      noShares,
    );

    check(
      'launch() with a share whose directory is not there rejects with VM_SPEC_INVALID and leaves nothing',
      async (context) => {
        const missing = { ...(await share(context, 'work')), path: '/no/such/directory' };
        await refused(context, { shares: [missing] }, 'shares[0].path');
        const file = { ...missing, path: join((await share(context, 'other')).path, 'file') };
        await refused(context, { shares: [file] }, 'shares[0].path');
      },
      noShares,
    );

    check(
      'launch() with two shares of one tag, with a malformed tag, or with too many rejects with VM_SPEC_INVALID',
      async (context) => {
        const one = await share(context, 'work');
        await refused(context, { shares: [one, one] }, 'shares');
        for (const tag of ['', 'UPPER', 'x'.repeat(32), 'a,b']) {
          await refused(context, { shares: [{ ...one, tag }] }, 'shares[0].tag');
        }
        const many = Array.from({ length: (shares?.max ?? 0) + 1 }, (_, index) => ({ ...one, tag: `share${index}` }));
        await refused(context, { shares: many }, 'shares');
      },
      noShares,
    );

    check(
      'launch() with a share that can be written to rejects with NOT_SUPPORTED where shares.writable is false',
      async (context) => {
        const { driver, spec, options } = context;
        const writable = { ...(await share(context, 'work')), readOnly: false };
        await expectCode(driver.launch(spec({ shares: [writable] }), options()), 'NOT_SUPPORTED');
      },
      noShares || (shares?.writable && 'it is declared'),
    );
  });
}

/** A raw one beside the run directory, gone with the test. */
async function disk({ runDir }: HypervisorContext, id: string, readOnly = true): Promise<VmDisk> {
  const path = join(dirname(runDir), `${id}.raw`);
  await writeFile(path, Buffer.alloc(DISK_BYTES, id), { mode: readOnly ? 0o644 : 0o666 });
  await chmod(path, readOnly ? 0o644 : 0o666);
  return { id, path, format: 'raw', readOnly };
}

async function share({ runDir }: HypervisorContext, tag: string): Promise<VmShare> {
  const path = join(dirname(runDir), `${tag}-shared`);
  await mkdir(path, { recursive: true });
  await writeFile(join(path, 'file'), 'as it was');
  return { tag, path, readOnly: true };
}

async function digest(path: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(path))
    .digest('hex');
}
