import { provesItself } from '../support/seeded-defects.js';
import { HYPERVISOR_DEFECTS } from './defects/hypervisor.js';
import { fakeHypervisorContract } from './fake-hypervisor.js';

provesItself('hypervisor', fakeHypervisorContract, {}, HYPERVISOR_DEFECTS, 25);
