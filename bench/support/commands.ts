import { execFileSync } from 'node:child_process';

/** A program, as a script would run it; its output is nobody's. */
export function run(program: string, ...argv: string[]): void {
  execFileSync(program, argv, { stdio: ['ignore', 'ignore', 'inherit'] });
}

export const restore = (input: string) => execFileSync('iptables-restore', ['--noflush'], { input });
