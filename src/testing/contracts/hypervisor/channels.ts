import assert from 'node:assert/strict';
import type { HypervisorVm } from '../../../core/hypervisor.js';
import { abortedCall, pause, settles } from '../../kit/timeouts.js';
import { expectCode } from '../../runner.js';
import type { HypervisorContext, HypervisorSuite } from './context.js';
import type { HypervisorContract } from './types.js';

export function channelContract({ describe, check }: HypervisorSuite, contract: HypervisorContract): void {
  const { guest = {}, capabilities } = contract;

  describe('pause', () => {
    const notDeclared = !capabilities.pause && 'pause is not declared';

    check(
      'pause() and resume() change the state, with one event each, and are idempotent',
      async ({ launch, options }) => {
        const vm = await launch();
        const events: string[] = [];
        vm.onEvent((event) => void events.push(event.type));
        await vm.resume(options());
        assert.deepEqual(events, []);
        for (let round = 0; round < 2; round++) {
          await vm.pause(options());
          assert.equal(vm.state, 'paused');
          await vm.pause(options());
          await vm.resume(options());
          assert.equal(vm.state, 'running');
          await vm.resume(options());
        }
        assert.deepEqual(events, ['paused', 'resumed', 'paused', 'resumed']);
      },
      notDeclared,
    );

    check(
      'a guest that is paused stands still, and goes on when it is resumed',
      async (context) => {
        const { options, launchReady, timeouts } = context;
        const vm = await launchReady();
        const channel = await vm.openChannel(guest.echoesOnChannel as string, options());
        context.defer(() => channel.destroy());
        await vm.pause(options());
        const answered = new Promise<void>((resolve) => channel.once('data', () => resolve()));
        channel.write('x');
        const early = await Promise.race([answered.then(() => true), pause(timeouts.shortMs).then(() => false)]);
        assert.ok(!early, 'the guest answered although it is paused');
        await vm.resume(options());
        await settles(answered, timeouts.callMs, 'the echo after resume()');
      },
      notDeclared || (!guest.echoesOnChannel && 'the guest echoes on no channel'),
    );

    check(
      'pause() with a signal that has fired rejects with its reason, and the VM runs on',
      async ({ launch }) => {
        const vm = await launch();
        await expectCode(vm.pause(abortedCall()), 'ABORTED');
        assert.equal(vm.state, 'running');
      },
      notDeclared,
    );

    check(
      'pause() and resume() reject with NOT_SUPPORTED where pause is not declared',
      async ({ launch, options }) => {
        const vm = await launch();
        await expectCode(vm.pause(options()), 'NOT_SUPPORTED');
        await expectCode(vm.resume(options()), 'NOT_SUPPORTED');
        assert.equal(vm.state, 'running');
      },
      capabilities.pause && 'it is declared',
    );
  });

  describe('channels', () => {
    check('each channel of the specification opens', async ({ launch, options, spec }) => {
      const vm = await launch();
      for (const name of spec().channels) (await vm.openChannel(name, options())).destroy();
    });

    check('a channel that is not in the specification is refused', async ({ launch, options }) => {
      const vm = await launch();
      await assert.rejects(vm.openChannel('no-such-channel', options()));
    });

    check('a channel has one opener at a time: a second is refused with POD_BUSY', async (context) => {
      const { launch, options, spec, defer } = context;
      const [name] = spec().channels as [string];
      const vm = await launch();
      const channel = await vm.openChannel(name, options());
      defer(() => channel.destroy());
      await expectCode(vm.openChannel(name, options()), 'POD_BUSY');
      assert.ok(!channel.destroyed, 'the first opener lost its channel');
    });

    check(
      'a channel that was destroyed opens again',
      async ({ launch, options, spec }) => {
        const [name] = spec().channels as [string];
        const vm = await launch();
        for (let round = 0; round < 3; round++) {
          const channel = await vm.openChannel(name, options());
          const closed = new Promise((resolve) => channel.once('close', resolve));
          channel.destroy();
          await closed;
        }
      },
      !capabilities.channels.reopen && 'channels.reopen is not declared',
    );

    check('openChannel() with a signal that has fired rejects with its reason', async ({ launch, options, spec }) => {
      const [name] = spec().channels as [string];
      const vm = await launch();
      await expectCode(vm.openChannel(name, abortedCall()), 'ABORTED');
      (await vm.openChannel(name, options())).destroy();
    });

    check('the channels end when the VM does', async ({ launch, options, spec, timeouts }) => {
      const vm = await launch();
      const channels = await Promise.all(spec().channels.map((name) => vm.openChannel(name, options())));
      const ended = channels.map((channel) => {
        channel.on('error', () => {}).resume();
        return new Promise((resolve) => channel.once('close', resolve));
      });
      await vm.kill(options());
      await settles(Promise.all(ended), timeouts.graceMs, "the channels' end");
    });

    check(
      'what the guest sends back is what it was sent, unchanged',
      async (context) => {
        const sent = Buffer.from(Array.from({ length: 16_384 }, (_, index) => (index * 31) & 255));
        await echo(context, contract, await context.launchReady(), sent);
      },
      !guest.echoesOnChannel && 'the guest echoes on no channel',
    );
  });
}

/** Sends these bytes on the channel that the guest echoes on, and fails unless they come back. The channel is closed again. */
export async function echo(
  { options, timeouts }: HypervisorContext,
  { guest = {}, capabilities }: HypervisorContract,
  vm: HypervisorVm,
  sent: Buffer,
): Promise<void> {
  const channel = await vm.openChannel(guest.echoesOnChannel as string, options());
  try {
    const received: Buffer[] = [];
    let size = 0;
    let written = 0;
    // No more than the channel bears unread: what came back was read.
    const window = capabilities.channels.creditWindowBytes ?? sent.length;
    const write = () => {
      const end = Math.min(sent.length, size + window);
      if (end > written) channel.write(sent.subarray(written, end));
      written = Math.max(written, end);
    };
    write();
    const all = new Promise<void>((resolve) => {
      channel.on('data', (chunk: Buffer) => {
        received.push(chunk);
        size += chunk.length;
        write();
        if (size >= sent.length) resolve();
      });
    });
    await settles(all, timeouts.callMs, 'the echo');
    assert.ok(Buffer.concat(received).equals(sent), 'the bytes differ');
  } finally {
    const closed = new Promise((resolve) => channel.once('close', resolve));
    channel.destroy();
    await closed;
  }
}
