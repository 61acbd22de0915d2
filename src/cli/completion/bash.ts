import { allCommands, type CompletionCommand, type CompletionOption } from './tree.js';

/** For bash 4 and later, without the bash-completion package. */
export function bashCompletion(root: CompletionCommand): string {
  const commands = allCommands(root);
  const key = (command: CompletionCommand) => command.path.join(' ');
  const table = (name: string, words: (command: CompletionCommand) => readonly string[]) =>
    commands
      .filter((command) => words(command).length > 0)
      .map((command) => `    ${name}['.${key(command)}']='${words(command).join(' ')}'\n`)
      .join('');
  const flags = (option: CompletionOption) => [option.long, ...(option.short ? [option.short] : [])];
  const valued = new Map<string, CompletionOption>();
  for (const command of commands) {
    for (const option of command.options) {
      if (option.takesValue) for (const flag of flags(option)) valued.set(flag, option);
    }
  }
  const cases = [...valued]
    .filter(([, option]) => option.choices.length > 0 || option.takesFile)
    .map(([flag, option]) => {
      const reply = option.takesFile ? '-f --' : `-W '${option.choices.join(' ')}' --`;
      return `    ${flag}) COMPREPLY=($(compgen ${reply} "$cur")); return ;;\n`;
    })
    .join('');
  return `# bash completion for hyperplug: source <(hyperplug completion bash)
_hyperplug() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} path='' word i skip=0 operands=0
  local -A subs options choices
${table('subs', (command) => command.subcommands.map((sub) => sub.path.at(-1) ?? '')).replace(
  /^ {4}/gm,
  '  ',
)}${table('options', (command) => command.options.flatMap(flags)).replace(/^ {4}/gm, '  ')}${table(
  'choices',
  (command) => command.choices,
).replace(/^ {4}/gm, '  ')}  local valued=' ${[...valued.keys()].join(' ')} '
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    if ((skip)); then skip=0; continue; fi
    if [[ $word == -- ]]; then COMPREPLY=($(compgen -c -f -- "$cur")); return; fi
    if [[ $word == -* ]]; then
      [[ $valued == *" $word "* ]] && skip=1
    elif [[ " \${subs[.$path]-} " == *" $word "* ]]; then
      path="\${path:+$path }$word"
    else
      ((operands++))
    fi
  done
  case $prev in
${cases}  esac
  if ((skip)); then return; fi
  if [[ $path == run && $operands -gt 0 ]] || [[ $path == exec && $operands -gt 1 ]]; then
    COMPREPLY=($(compgen -f -- "$cur"))
  elif [[ $cur == -* ]]; then
    COMPREPLY=($(compgen -W "\${options[.$path]-}" -- "$cur"))
  elif ((operands == 0)); then
    COMPREPLY=($(compgen -W "\${subs[.$path]-} \${choices[.$path]-}" -- "$cur"))
  fi
}
complete -o default -F _hyperplug hyperplug
`;
}
