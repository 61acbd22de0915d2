import type { UserCallOptions } from '../../../core/calls.js';
import type { Hyperplug, Pod } from '../../../core/pod/types.js';
import { type Suite, suiteOf, type TestContext } from '../../kit/suite.js';
import { eventually, guarded, settles } from '../../kit/timeouts.js';
import type { HyperplugBench, HyperplugContract } from './types.js';

export interface HyperplugContext extends TestContext {
  readonly bench: HyperplugBench;
  readonly hyperplug: Hyperplug;
  /** One that ends with the test. */
  another(): Promise<Hyperplug>;
  /** A running pod that is gone after the test, kept or not. */
  pod(spec?: Record<string, unknown>, engine?: Hyperplug): Promise<Pod>;
  /** A recorded pod that is gone after the test. */
  recorded(spec: Record<string, unknown>): Promise<string>;
  within<T>(promise: PromiseLike<T>, what: string): Promise<T>;
  eventually(condition: () => boolean | Promise<boolean>, what: string): Promise<void>;
}

export type HyperplugSuite = Suite<HyperplugContext>;

export function hyperplugSuite(contract: HyperplugContract): HyperplugSuite {
  return suiteOf<HyperplugContext>({
    runner: contract.runner,
    timeouts: contract.timeouts,
    async setUp(base) {
      const bench = await contract.create();
      base.defer(() => bench.dispose());
      base.defer(() => bench.hyperplug.close());
      const limitMs = base.timeouts.callMs + base.timeouts.graceMs;
      const hyperplug = guarded(bench.hyperplug, limitMs, 'hyperplug');
      const force = async (id: string) => {
        await bench.hyperplug.removePod(id, { force: true, timeoutMs: base.timeouts.callMs }).catch((error) => {
          if ((error as { code?: string }).code !== 'POD_NOT_FOUND') throw error;
        });
      };
      const context: HyperplugContext = {
        ...base,
        bench,
        hyperplug,
        async another() {
          const engine = await bench.another();
          context.defer(() => engine.close());
          return guarded(engine, limitMs, 'another');
        },
        async pod(spec = {}, engine = hyperplug) {
          const pod = await engine.createPod(spec, call(base));
          context.defer(() => force(pod.id));
          return pod;
        },
        async recorded(spec) {
          const { id } = await hyperplug.pods.create(spec, call(base));
          context.defer(() => force(id));
          return id;
        },
        within: (promise, what) => settles(promise, limitMs, what),
        eventually: (condition, what) => eventually(condition, base.timeouts.callMs, what),
      };
      return context;
    },
    leftovers: async ({ bench }) => bench.leftovers(),
    reap: async () => {},
  });
}

const call = ({ timeouts }: TestContext): UserCallOptions => ({ timeoutMs: timeouts.callMs });
