import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type ContractRunner,
  FakeAddressPool,
  FakePoolMedium,
  filesBelow,
  networkContract,
  processesMentioning,
} from 'hyperplug/testing';
import { SwitchBackend } from '../src/backend.js';
import { capabilities } from '../src/capabilities.js';
import { callSwitch, readStatus, stopSwitch } from '../src/switch-process.js';
import { frameTests } from './frames.js';

const network = { mtu: null, isolated: false, dns: [] };
const call = () => ({ signal: AbortSignal.timeout(20_000) });

export function contractTests(runner: ContractRunner): void {
  const directory = mkdtempSync(join(tmpdir(), 'switch-'));
  runner.after(() => rmSync(directory, { recursive: true, force: true }));
  let medium = new FakePoolMedium();
  const planned = new Set<'register' | 'status'>();
  networkContract({
    runner,
    label: 'switch',
    capabilities,
    create() {
      const pool = new FakeAddressPool({ durable: true, medium });
      const register = pool.register.bind(pool);
      pool.register = async (...args) => {
        if (planned.delete('register')) throw new Error('injected: no room for another network');
        return register(...args);
      };
      return new SwitchBackend(pool, directory, async (folder, request, options) => {
        if (request.do === 'status' && planned.delete('status')) throw new Error('injected: no answer');
        return callSwitch(folder, request, options);
      });
    },
    networks: [
      { ...network, name: 'contract', subnets: ['10.213.1.0/24'] },
      { ...network, name: 'contract-2', subnets: ['10.213.2.0/24'] },
    ],
    rounds: 260,
    host: {
      leftovers: async () => [...(await filesBelow(directory)), ...(await processesMentioning(directory))],
      nicLeftovers: async () => (await filesBelow(directory)).filter((each) => !each.endsWith('control.sock')),
      async reap() {
        for (const name of ['contract', 'contract-2']) await stopSwitch(join(directory, name), call());
        medium = new FakePoolMedium();
      },
    },
    inject: { init: () => void planned.add('register'), attach: () => void planned.add('status') },
    async tamper() {
      const status = await readStatus(join(directory, 'contract'), call());
      if (status) process.kill(status.pid, 'SIGKILL');
    },
  });
  frameTests(runner);
}
