import { provesItself } from '../support/seeded-defects.js';
import { FIREWALL_DEFECTS } from './defects/firewall.js';
import { fakeFirewallContract } from './fake-firewall.js';

provesItself('firewall', fakeFirewallContract, {}, FIREWALL_DEFECTS, 15);
