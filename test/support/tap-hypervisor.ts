import { close } from 'node:fs';
import koffi from 'koffi';
import type { CallOptions } from '../../src/core/calls.js';
import type { HypervisorVm, NicEndpoint, VmSpec } from '../../src/core/hypervisor.js';
import { FakeHypervisor, type FakeHypervisorOptions } from '../../src/testing/index.js';

/** linux/fcntl.h */
const F_DUPFD_CLOEXEC = 1030;
const fcntl = koffi.load('libc.so.6').func('int fcntl(int, int, int)');

/** A FakeHypervisor whose VMs hold real taps as long as they run, and read nothing from them. */
export class TapHypervisor extends FakeHypervisor {
  constructor(options: FakeHypervisorOptions) {
    super({ ...options, capabilities: { ...options.capabilities, nicEndpoints: ['tap-fd'], builtinNetwork: false } });
  }

  override async launch(spec: VmSpec, options: CallOptions): Promise<HypervisorVm> {
    const held = spec.nics.flatMap(({ endpoint }) => duplicates(endpoint));
    const free = () => {
      for (const fd of held.splice(0)) close(fd, () => {});
    };
    try {
      const vm = await super.launch(spec, options);
      void vm.exited.then(free);
      return vm;
    } catch (error) {
      free();
      throw error;
    }
  }
}

function duplicates(endpoint: NicEndpoint): number[] {
  return endpoint.kind === 'tap-fd' ? endpoint.fds.map((fd) => fcntl(fd, F_DUPFD_CLOEXEC, 3) as number) : [];
}
