import type { Command } from 'commander';

export interface CompletionOption {
  readonly long: string;
  readonly short: string | undefined;
  readonly description: string;
  readonly takesValue: boolean;
  /** The value is a path of the host. */
  readonly takesFile: boolean;
  readonly choices: readonly string[];
}

export interface CompletionCommand {
  /** Without the program's name: `['config', 'show']`; the root's is empty. */
  readonly path: readonly string[];
  readonly description: string;
  readonly options: readonly CompletionOption[];
  readonly subcommands: readonly CompletionCommand[];
  /** Choices of its first argument. */
  readonly choices: readonly string[];
}

const HELP: CompletionOption = {
  long: '--help',
  short: '-h',
  description: 'display help for command',
  takesValue: false,
  takesFile: false,
  choices: [],
};

/** What there is to complete, read from the program itself. */
export function completionTree(program: Command, path: readonly string[] = []): CompletionCommand {
  const options = program.options
    .filter((option) => !option.hidden && option.long)
    .map((option) => ({
      long: option.long ?? '',
      short: option.short,
      description: option.description,
      takesValue: option.required || option.optional,
      takesFile: /<file>/.test(option.flags),
      choices: option.argChoices ?? [],
    }));
  return {
    path,
    description: program.description(),
    options: [...options, HELP],
    subcommands: program.commands.map((command) => completionTree(command, [...path, command.name()])),
    choices: program.registeredArguments[0]?.argChoices ?? [],
  };
}

/** The tree as a list, parents first. */
export function allCommands(root: CompletionCommand): readonly CompletionCommand[] {
  return [root, ...root.subcommands.flatMap(allCommands)];
}
