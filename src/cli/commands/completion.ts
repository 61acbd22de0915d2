import type { Command } from 'commander';
import { bashCompletion } from '../completion/bash.js';
import { fishCompletion } from '../completion/fish.js';
import { completionTree } from '../completion/tree.js';
import { zshCompletion } from '../completion/zsh.js';
import type { CommandContext } from '../context.js';
import { EXIT } from '../errors.js';

const GENERATORS = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion } as const;
export type Shell = keyof typeof GENERATORS;

export async function execute(context: CommandContext, shell: Shell, program: Command): Promise<number> {
  await context.io.stdout.write(GENERATORS[shell](completionTree(program)));
  return EXIT.ok;
}
