import { expect } from 'chai';
import { HyperplugError, hasCode } from '../../../../src/core/errors.js';
import type { Wake } from '../../../../src/core/pod/events/wake.js';
import { waitEnd } from '../../../../src/core/pod/life/wait.js';
import type { PodServices } from '../../../../src/core/pod/services.js';

describe('waiting for the end of a pod', () => {
  it('that is not there, or cannot be read, leaves nobody listening, who would keep the process', async () => {
    const listeners = new Set<() => void>();
    const wake = {
      listen: (listener: () => void) => {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
    } as unknown as Wake;
    for (const code of ['POD_NOT_FOUND', 'STATE_VERSION'] as const) {
      const read = () => Promise.reject(new HyperplugError(code, 'no record'));
      const never = () => Promise.reject(new TypeError('not reached'));
      const services = { store: { read } } as unknown as PodServices;
      const call = { signal: new AbortController().signal };
      const error = await waitEnd(services, wake, 'p', never, never, call).catch((reason: unknown) => reason);
      expect(hasCode(error, code)).to.equal(true);
      expect(listeners.size).to.equal(0);
    }
  });
});
