import type { Operation } from '../operation.js';
import { execOperations } from './exec.js';
import { fileOperations } from './files.js';
import { networkOperations } from './networks.js';
import { podNetworkOperations } from './pod-network.js';
import { podOperations } from './pods.js';
import { poolOperations } from './pool.js';
import { systemOperations } from './system.js';
import { templateOperations } from './templates.js';

/** The whole API but for /openapi.json, which is made of it: the one place where it stands. */
export const operations: readonly Operation[] = [
  ...podOperations,
  ...execOperations,
  ...fileOperations,
  ...podNetworkOperations,
  ...networkOperations,
  ...templateOperations,
  ...poolOperations,
  ...systemOperations,
];
