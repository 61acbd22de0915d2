import { expect } from 'chai';
import { hasCode } from '../../../../src/core/errors.js';
import type { Assessment, AssessmentHost } from '../../../../src/core/plugin.js';
import { chooseHypervisor } from '../../../../src/core/registry/choose-hypervisor.js';
import { PluginRegistry, type SelectedPlugins } from '../../../../src/core/registry/registry.js';
import { FAKE_HYPERVISOR_CAPABILITIES } from '../../../../src/testing/fakes/hypervisor/driver.js';

const call = () => ({ signal: AbortSignal.timeout(10_000) });
const host = {} as AssessmentHost;

describe('the choice of a hypervisor', () => {
  /** Plugins by name: what each says of itself, an error it throws, or nothing. */
  function choose(said: Record<string, Assessment | Error | undefined>, unfit: readonly string[] = []) {
    const asked: string[] = [];
    const registry = new PluginRegistry(
      Object.entries(said).map(([name, answer]) => ({
        name,
        kind: 'hypervisor',
        apiVersion: 1,
        capabilities: FAKE_HYPERVISOR_CAPABILITIES,
        register() {},
        ...(answer && {
          async assess() {
            asked.push(name);
            if (answer instanceof Error) throw answer;
            return answer;
          },
        }),
      })),
    );
    const select = (name: string) => {
      if (unfit.includes(name)) throw new Error(`${name} does not fit`);
      return { hypervisor: { ...registry.get('hypervisor', name), options: {} } } as unknown as SelectedPlugins;
    };
    return { asked, choice: chooseHypervisor(registry, select, host, call()) };
  }

  it('is the fittest, and says of all what they said', async () => {
    const { choice } = choose({
      a: { fitness: 'emulated', reason: 'slow' },
      b: { fitness: 'light', reason: 'quick' },
      c: { fitness: 'none', reason: 'not at all' },
      d: undefined,
    });
    expect(await choice).to.deep.equal({ name: 'b', reason: 'b: quick; a: slow; c: not at all' });
  });

  it('asks no further once one runs natively', async () => {
    const { asked, choice } = choose({
      a: { fitness: 'native', reason: 'KVM' },
      b: { fitness: 'light', reason: 'quick' },
    });
    expect((await choice).name).to.equal('a');
    expect(asked).to.deep.equal(['a']);
  });

  it('passes over one that fails, or does not fit the other plugins', async () => {
    const { choice } = choose(
      {
        a: new Error('broken'),
        b: { fitness: 'native', reason: 'KVM' },
        c: { fitness: 'emulated', reason: 'slow' },
      },
      ['b'],
    );
    expect(await choice).to.deep.equal({ name: 'c', reason: 'c: slow; a: broken; b: b does not fit' });
  });

  it('rejects with every reason when none works', async () => {
    const { choice } = choose({ a: { fitness: 'none', reason: 'no such program' } });
    const error = await choice.catch((reason: unknown) => reason);
    expect(hasCode(error, 'VM_HYPERVISOR_FAILED')).to.equal(true);
    expect(String(error)).to.include('a: no such program');
  });
});
