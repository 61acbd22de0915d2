import type { CliDeps, Io } from './deps.js';
export function realDeps(io: Io): CliDeps {
  return { io } as CliDeps;
}
