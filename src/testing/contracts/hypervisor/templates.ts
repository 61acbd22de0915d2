import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { cp, mkdir, readdir, readFile, rm, truncate } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { HypervisorVm, SavedTemplate, VmRecord, VmSpec } from '../../../core/hypervisor.js';
import { assertNamesField, jsonRoundTrip, outcomeOf } from '../../kit/assertions.js';
import { filesBelow } from '../../kit/leftovers.js';
import { firstReason } from '../../kit/suite.js';
import { abortableCall, abortedCall, eventually, pause, settles } from '../../kit/timeouts.js';
import { expectCode } from '../../runner.js';
import { echo } from './channels.js';
import type { HypervisorContext, HypervisorSuite } from './context.js';
import { undetachable } from './nics.js';
import type { HypervisorContract } from './types.js';

/** Moments at which a save is aborted, and its VM killed. */
const AFTER_MS = [0, 3, 15] as const;

export function templateContract({ describe, check }: HypervisorSuite, contract: HypervisorContract): void {
  const { capabilities, guest = {}, inject = {} } = contract;
  const no: string | false = !capabilities.snapshot && 'snapshot is not declared';
  const declared = (name: string, body: (context: HypervisorContext) => Promise<void>, unless: string | false = no) =>
    check(name, body, no || unless);

  describe('templates', () => {
    check(
      'launch() with a template, templateKey() and saveTemplate() reject with NOT_SUPPORTED where snapshot is not declared',
      async (context) => {
        const { driver, spec, options, launch } = context;
        const directory = await templateDirectory(context);
        const saved: SavedTemplate = { version: 1, driver: driver.name, key: 'k', data: null };
        const uses = [{ role: 'source', directory } as const, { role: 'clone', directory, saved } as const];
        for (const template of uses) {
          await expectCode(driver.launch(spec({ template }), options()), 'NOT_SUPPORTED');
        }
        if (driver.templateKey) await expectCode(driver.templateKey(spec(), options()), 'NOT_SUPPORTED');
        const vm = await launch();
        if (vm.saveTemplate) await expectCode(vm.saveTemplate(options()), 'NOT_SUPPORTED');
        assert.equal(vm.state, 'running');
      },
      capabilities.snapshot && 'it is declared',
    );

    declared('templateKey() depends on what the guest is made of, and not on whose VM it is', async (context) => {
      const { driver, spec, options } = context;
      const keyOf = (parts: Partial<VmSpec>) => keyFrom(driver, spec(parts), options());
      const key = await keyOf({});
      assert.match(key, /^\S+$/);
      assert.equal(await keyOf({ id: `${context.id}-b`, runDir: `${context.runDir}-b`, detached: true }), key);
      const { memoryMib, kernelArgs, channels } = spec();
      const others: Partial<VmSpec>[] = [
        { memoryMib: memoryMib + 32 },
        { kernelArgs: [...kernelArgs, 'contract'] },
        { channels: [...channels, 'contract.more'] },
        ...(capabilities.maxCpus > 1 ? [{ cpus: 2 }] : []),
        ...(capabilities.hotplugNic ? [{ hotplugNicSlots: 1 }] : []),
      ];
      for (const parts of others) {
        assert.notEqual(await keyOf(parts), key, `the same key for another ${Object.keys(parts)[0]}`);
      }
    });

    declared('saveTemplate() ends the VM and leaves its files in the template, and nothing else', async (context) => {
      const { options, timeouts } = context;
      const { vm, directory } = await launchSource(context);
      const saved = await save(vm, context);
      jsonRoundTrip(saved, 'the saved template');
      assert.equal(saved.version, 1);
      assert.equal(saved.driver, context.driver.name);
      assert.equal(saved.key, await keyFrom(context.driver, context.spec(), options()));
      const { reason } = await settles(vm.exited, timeouts.callMs, 'exited');
      assert.equal(reason, 'killed');
      assert.notEqual((await readdir(directory)).length, 0, 'the template is empty');
      assert.deepEqual(await filesBelow(context.runDir), [], 'left in the run directory');
    });

    declared(
      'saveTemplate() of a VM that was not launched as a source rejects with NOT_SUPPORTED, and it runs on',
      async (context) => {
        const vm = await context.launch();
        await expectCode(save(vm, context), 'NOT_SUPPORTED');
        assert.equal(vm.state, 'running');
      },
    );

    declared(
      'saveTemplate() of a VM that has ended rejects with VM_NOT_RUNNING, after a save, too',
      async (context) => {
        const { vm, directory } = await launchSource(context);
        await save(vm, context);
        const before = await digests(directory);
        await expectCode(save(vm, context), 'VM_NOT_RUNNING');
        assert.deepEqual(await digests(directory), before);
      },
    );

    declared(
      'saveTemplate() with a signal that has fired rejects with its reason: the VM has ended, the template is empty',
      async (context) => {
        const { vm, directory } = await launchSource(context);
        assert.ok(vm.saveTemplate);
        await expectCode(vm.saveTemplate(abortedCall()), 'ABORTED');
        assert.equal(vm.state, 'exited');
        assert.deepEqual(await readdir(directory), []);
      },
    );

    declared('saveTemplate() aborted on its way leaves the template empty and no VM', async (context) => {
      for (const delayMs of AFTER_MS) {
        const { vm, directory } = await launchSource(context);
        assert.ok(vm.saveTemplate);
        const call = abortableCall();
        const saving = outcomeOf(vm.saveTemplate(call));
        if (delayMs > 0) await pause(delayMs);
        call.abort();
        const outcome = await saving;
        assert.equal(vm.state, 'exited');
        // It may have been faster than the abort.
        if ('value' in outcome) await rm(directory, { recursive: true });
        else await expectCode(Promise.reject(outcome.error), 'ABORTED');
        if ('error' in outcome) assert.deepEqual(await readdir(directory), []);
      }
    });

    declared(
      'saveTemplate() of a VM that is killed meanwhile rejects with VM_EXITED and leaves the template empty',
      async (context) => {
        for (const delayMs of AFTER_MS) {
          const { vm, directory } = await launchSource(context);
          const saving = outcomeOf(save(vm, context));
          if (delayMs > 0) await pause(delayMs);
          await vm.kill(context.options());
          const outcome = await saving;
          if ('value' in outcome) await rm(directory, { recursive: true });
          else await expectCode(Promise.reject(outcome.error), 'VM_EXITED', 'VM_NOT_RUNNING');
          if ('error' in outcome) assert.deepEqual(await readdir(directory), []);
        }
      },
    );

    declared(
      'saveTemplate() that fails on its way leaves the template empty and no VM',
      async (context) => {
        const { vm, directory } = await launchSource(context);
        await inject.save?.(context.driver, vm);
        const outcome = await outcomeOf(save(vm, context));
        assert.ok('error' in outcome, 'saveTemplate() resolved');
        assert.equal(vm.state, 'exited');
        assert.deepEqual(await readdir(directory), []);
      },
      !inject.save && 'the factory offers no inject.save',
    );

    declared('a source that ends unsaved leaves its template empty: killed, destroyed or reaped', async (context) => {
      const { options, another, driver, runDir, timeouts } = context;
      const ends: ((vm: HypervisorVm) => Promise<unknown>)[] = [
        (vm) => vm.kill(options()),
        async (vm) => (await another()).destroy(jsonRoundTrip(vm.record(), 'the record'), options()),
        async () => driver.reap?.(runDir, options()),
      ];
      for (const end of ends) {
        const { vm, directory } = await launchSource(context);
        await end(vm);
        if (!driver.reap && vm.state !== 'exited') await vm.kill(options());
        await settles(vm.exited, timeouts.callMs, 'exited');
        assert.deepEqual(await readdir(directory), []);
      }
    });

    declared(
      'launch() as a source into a template that holds something rejects with VM_SPEC_INVALID and leaves it',
      async (context) => {
        const { driver, spec, options } = context;
        const { directory } = await savedTemplate(context);
        const before = await digests(directory);
        for (const wrong of [directory, join(directory, 'not-there')]) {
          const call = driver.launch(spec({ template: { role: 'source', directory: wrong } }), options());
          assertNamesField(await expectCode(call, 'VM_SPEC_INVALID'), 'template.directory');
        }
        assert.deepEqual(await digests(directory), before);
      },
    );

    declared(
      'launch() as a source or clone with NICs rejects with VM_SPEC_INVALID naming the field',
      async (context) => {
        const { driver, spec, options, nic } = context;
        const { directory, saved } = await savedTemplate(context);
        const empty = await templateDirectory(context);
        const nics = [await nic('n0')];
        for (const template of [
          { role: 'source', directory: empty } as const,
          { role: 'clone', directory, saved } as const,
        ]) {
          const call = driver.launch(spec({ nics, hotplugNicSlots: 0, template }), options());
          assertNamesField(await expectCode(call, 'VM_SPEC_INVALID'), 'nics');
        }
      },
    );

    declared('several clones run at once, and end, without a change to the template', async (context) => {
      const template = await savedTemplate(context);
      const before = await digests(template.directory);
      const clones = await Promise.all([1, 2, 3].map(() => launchClone(context, template)));
      assert.deepEqual(
        clones.map(({ state }) => state),
        ['running', 'running', 'running'],
      );
      assert.equal(new Set(clones.map((vm) => vm.record().process.pid)).size, 3);
      if (guest.echoesOnChannel) {
        await Promise.all(clones.map((vm, index) => echo(context, contract, vm, Buffer.from(`clone ${index}`))));
      }
      await clones[0]?.kill(context.options());
      assert.equal(clones[1]?.state, 'running', 'another clone ended with it');
      assert.equal((await launchClone(context, template)).state, 'running');
      assert.deepEqual(await digests(template.directory), before, 'the template has changed');
    });

    declared(
      'the channels of a clone carry bytes both ways',
      async (context) => {
        const vm = await launchClone(context, await savedTemplate(context));
        await echo(context, contract, vm, Buffer.from('from a clone'));
        await echo(context, contract, vm, Buffer.from('opened again'));
      },
      !guest.echoesOnChannel && 'the guest echoes on no channel',
    );

    declared(
      'a NIC is added to a clone, seen and removed',
      async (context) => {
        const vm = await launchClone(context, await savedTemplate(context));
        const nic = await context.nic('n0');
        await vm.attachNic(nic, context.options());
        const seen = async () => (await guest.macs?.(vm))?.includes(nic.mac) ?? true;
        await eventually(seen, context.timeouts.callMs, `the guest sees ${nic.mac}`);
        await context.beforeDetach(vm, nic);
        await vm.detachNic('n0', context.options());
        assert.deepEqual([...vm.nics()], []);
      },
      firstReason(
        [!capabilities.hotplugNic, 'hotplugNic is not declared'],
        [undetachable(contract) !== false, String(undetachable(contract))],
      ),
    );

    declared(
      'a clone that is detached is adopted, and ends, as any VM; the template is as it was',
      async (context) => {
        const { options, another } = context;
        const template = await savedTemplate(context);
        const before = await digests(template.directory);
        const vm = await launchClone(context, template, { detached: true });
        const record = jsonRoundTrip(vm.record(), 'the record') as VmRecord;
        await vm.release();
        const manager = await another();
        const adopted = context.track(await manager.adopt(record, options()));
        assert.equal(adopted.state, 'running');
        if (capabilities.hotplugNic) await adopted.attachNic(await context.nic('n0'), options());
        await adopted.kill(options());
        await manager.destroy(record, options());
        assert.deepEqual(await digests(template.directory), before);
      },
      !capabilities.adopt && 'adopt is not declared',
    );

    declared(
      'launch() of a clone of another driver, key or machine rejects with TEMPLATE_STALE and leaves nothing',
      async (context) => {
        const { driver, spec, options } = context;
        const { directory, saved } = await savedTemplate(context);
        const { memoryMib, channels } = spec();
        const cases: readonly (readonly [string, Partial<SavedTemplate>, Partial<VmSpec>])[] = [
          ['driver', { driver: 'another' }, {}],
          ['key', { key: `${saved.key.slice(1)}0` }, {}],
          ['data', { data: null }, {}],
          ['memory', {}, { memoryMib: memoryMib + 32 }],
          ['channels', {}, { channels: channels.slice(1) }],
          ...(capabilities.hotplugNic ? [['slots', {}, { hotplugNicSlots: 1 }] as const] : []),
        ];
        for (const [what, wrong, parts] of cases) {
          const template = { role: 'clone', directory, saved: { ...saved, ...wrong } } as const;
          const outcome = await outcomeOf(driver.launch(spec({ ...parts, template }), options()));
          assert.ok('error' in outcome, `a clone of another ${what} was launched`);
          await expectCode(Promise.reject(outcome.error), 'TEMPLATE_STALE');
        }
        assert.deepEqual(await filesBelow(context.runDir), []);
      },
    );

    declared(
      'launch() of a clone whose files are not whole rejects with TEMPLATE_STALE and leaves nothing',
      async (context) => {
        const { driver, spec, options } = context;
        const whole = await savedTemplate(context);
        const damaged = `${whole.directory}-damaged`;
        const names = await readdir(whole.directory);
        for (const name of names) {
          for (const damage of [(path: string) => rm(path), (path: string) => truncate(path, 100)]) {
            await cp(whole.directory, damaged, { recursive: true });
            await damage(join(damaged, name));
            const template = { ...whole, directory: damaged, role: 'clone' } as const;
            await expectCode(driver.launch(spec({ template }), options()), 'TEMPLATE_STALE');
            await rm(damaged, { recursive: true });
          }
        }
        assert.equal((await launchClone(context, whole)).state, 'running');
      },
    );

    declared('launch() of a clone aborted on its way leaves nothing, and a retry works', async (context) => {
      const template = await savedTemplate(context);
      const before = await digests(template.directory);
      for (const delayMs of AFTER_MS) {
        const call = abortableCall();
        const spec = context.spec({ template: { role: 'clone', ...template } });
        const launched = outcomeOf(context.driver.launch(spec, call));
        if (delayMs > 0) await pause(delayMs);
        call.abort();
        const outcome = await launched;
        if ('value' in outcome) await context.track(outcome.value).kill(context.options());
        else await expectCode(Promise.reject(outcome.error), 'ABORTED');
      }
      assert.equal((await launchClone(context, template)).state, 'running');
      assert.deepEqual(await digests(template.directory), before);
    });
  });
}

interface Template {
  readonly directory: string;
  readonly saved: SavedTemplate;
}

let serial = 0;

/** As core makes one: empty, mode 0700, beside the run directory and gone with the test. */
async function templateDirectory({ runDir }: HypervisorContext): Promise<string> {
  const directory = join(dirname(runDir), `template-${++serial}`);
  await mkdir(directory, { mode: 0o700 });
  return directory;
}

async function launchSource(
  context: HypervisorContext,
): Promise<{ readonly vm: HypervisorVm; readonly directory: string }> {
  const directory = await templateDirectory(context);
  return { vm: await context.launchReady({ template: { role: 'source', directory } }), directory };
}

function save(vm: HypervisorVm, { options }: HypervisorContext): Promise<SavedTemplate> {
  assert.ok(vm.saveTemplate, 'snapshot is declared, but there is no saveTemplate()');
  return vm.saveTemplate(options());
}

async function savedTemplate(context: HypervisorContext): Promise<Template> {
  const { vm, directory } = await launchSource(context);
  return { directory, saved: await save(vm, context) };
}

/** With a run directory of its own, which is empty when the clone has ended. */
async function launchClone(
  context: HypervisorContext,
  template: Template,
  parts: Partial<VmSpec> = {},
): Promise<HypervisorVm> {
  const runDir = join(dirname(context.runDir), `clone-${++serial}`);
  await mkdir(runDir, { mode: 0o700 });
  context.defer(async () => assert.deepEqual(await filesBelow(runDir), [], 'left of a clone'));
  return context.launch({
    id: `${context.id}-c${serial}`,
    runDir,
    consoleLogPath: `${runDir}.log`,
    template: { role: 'clone', ...template },
    ...parts,
  });
}

function keyFrom(
  driver: HypervisorContext['driver'],
  spec: VmSpec,
  options: ReturnType<HypervisorContext['options']>,
): Promise<string> {
  assert.ok(driver.templateKey, 'snapshot is declared, but there is no templateKey()');
  return driver.templateKey(spec, options);
}

/** Name → content of each file. */
async function digests(directory: string): Promise<Readonly<Record<string, string>>> {
  const digest = async (name: string) =>
    createHash('sha256')
      .update(await readFile(join(directory, name)))
      .digest('hex');
  const names = (await readdir(directory)).sort();
  return Object.fromEntries(await Promise.all(names.map(async (name) => [name, await digest(name)] as const)));
}
