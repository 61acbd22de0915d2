#!/usr/bin/env node
import { runCli } from './cli.js';
import { EXIT, presentError } from './errors.js';
import { processIo } from './process-io.js';
import { realDeps } from './real-deps.js';
import { painter } from './text.js';

// What nobody caught is a defect: told in one line, and the terminal is given back by Node's exit.
process.on('uncaughtException', (error) => {
  const debug = process.argv.includes('debug') || process.argv.includes('trace');
  process.stderr.write(presentError(error, { json: false, debug, paint: painter(false, {}) }));
  process.exit(EXIT.failed);
});

const exitCode = await runCli(process.argv.slice(2), realDeps(processIo()));
// All output has been handed to the kernel; a standard input that is still open must not keep us.
process.exit(exitCode);
