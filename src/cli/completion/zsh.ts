import { allCommands, type CompletionCommand, type CompletionOption } from './tree.js';

export function zshCompletion(root: CompletionCommand): string {
  const functions = allCommands(root).map((command) => oneCommand(command));
  return `#compdef hyperplug
# zsh completion for hyperplug: hyperplug completion zsh > DIRECTORY_OF_FPATH/_hyperplug
${functions.join('')}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
  _hyperplug "$@"
else
  compdef _hyperplug hyperplug
fi
`;
}

function functionName(path: readonly string[]): string {
  return ['_hyperplug', ...path].join('_');
}

function oneCommand(command: CompletionCommand): string {
  const specs = command.options
    .flatMap(optionSpecs)
    .map((spec) => `    ${quote(spec)} \\\n`)
    .join('');
  if (command.subcommands.length === 0) {
    const rest = command.choices.length > 0 ? `1:value:(${command.choices.join(' ')})` : '*::argument:_normal';
    return `\n${functionName(command.path)}() {\n  _arguments -S -s \\\n${specs}    ${quote(rest)}\n}\n`;
  }
  const subs = command.subcommands
    .map((sub) => `      ${quote(`${escaped(sub.path.at(-1) ?? '')}:${sub.description}`)}\n`)
    .join('');
  const cases = command.subcommands.map((sub) => `      ${sub.path.at(-1)}) ${functionName(sub.path)} ;;\n`).join('');
  return `
${functionName(command.path)}() {
  local curcontext=$curcontext state line
  _arguments -C -s \\
${specs}    '1:command:->command' \\
    '*::argument:->argument'
  case $state in
    command)
      local -a commands=(
${subs}      )
      _describe command commands ;;
    argument)
      case $line[1] in
${cases}      esac ;;
  esac
}
`;
}

/** `_arguments` syntax: names, help in brackets, `:message:action` for a value. */
function optionSpecs(option: CompletionOption): string[] {
  const action = option.takesFile ? '_files' : option.choices.length > 0 ? `(${option.choices.join(' ')})` : ' ';
  const value = option.takesValue ? `:value:${action}` : '';
  return [option.long, ...(option.short ? [option.short] : [])].map(
    (name) => `${name}[${escaped(option.description)}]${value}`,
  );
}

function escaped(text: string): string {
  return text.replace(/[\\[\]:]/g, '\\$&');
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
