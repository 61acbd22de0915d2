import { allCommands, type CompletionCommand } from './tree.js';

export function fishCompletion(root: CompletionCommand): string {
  const lines = ['# fish completion for hyperplug: hyperplug completion fish | source', 'complete -c hyperplug -f'];
  for (const command of allCommands(root)) {
    const condition = when(command);
    for (const sub of command.subcommands) {
      lines.push(
        `complete -c hyperplug -n ${condition} -a ${quote(sub.path.at(-1) ?? '')} -d ${quote(sub.description)}`,
      );
    }
    for (const choice of command.choices) lines.push(`complete -c hyperplug -n ${condition} -a ${quote(choice)}`);
    for (const option of command.options) {
      const value = option.takesFile
        ? ' -r -F'
        : option.choices.length > 0
          ? ` -x -a ${quote(option.choices.join(' '))}`
          : option.takesValue
            ? ' -x'
            : '';
      const short = option.short ? ` -s ${option.short.slice(1)}` : '';
      lines.push(
        `complete -c hyperplug -n ${condition} -l ${option.long.slice(2)}${short}${value} -d ${quote(option.description)}`,
      );
    }
  }
  return `${lines.join('\n')}\n`;
}

/** True where this command is the innermost one named so far. */
function when(command: CompletionCommand): string {
  const seen = command.path.map((word) => `__fish_seen_subcommand_from ${word}`);
  const children = command.subcommands.map((sub) => sub.path.at(-1)).join(' ');
  const none = children === '' ? [] : [`not __fish_seen_subcommand_from ${children}`];
  return quote([...seen, ...none].join('; and ') || 'true');
}

function quote(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
