import { provesItself } from '../support/seeded-defects.js';
import { NETWORK_DEFECTS } from './defects/network.js';
import { fakeNetworkContract } from './fake-network.js';

provesItself('network', fakeNetworkContract, {}, NETWORK_DEFECTS, 25);
