import { processIo } from './process-io.js';
import { realDeps } from './real-deps.js';
import { runMain } from './run-main.js';

void runMain(process.argv.slice(2), realDeps(processIo()));
