/** Command → what its help ends with. */
const EXAMPLES: Readonly<Record<string, readonly string[]>> = {
  hyperplug: ['hyperplug run -- uname -a', 'hyperplug run -it -- sh', 'hyperplug doctor'],
  'hyperplug run': [
    'hyperplug run -- uname -a',
    'hyperplug run -it -p 8080:80 --memory 1g -- sh',
    'tar c . | hyperplug run -- tar t',
    'hyperplug run --keep --name web -- true && hyperplug exec web ps',
  ],
  'hyperplug exec': ['hyperplug exec web ps', 'hyperplug exec -it web sh'],
  'hyperplug ps': ['hyperplug ps --all', "hyperplug ps --json | jq -r '.[].id'"],
  'hyperplug rm': ['hyperplug rm web', 'hyperplug rm --force web db'],
  'hyperplug logs': ['hyperplug logs web', 'hyperplug logs -f web'],
  'hyperplug doctor': ['hyperplug doctor', 'hyperplug doctor --json'],
  'hyperplug plugins': ['hyperplug plugins', 'hyperplug plugins --json'],
  'hyperplug config show': ['hyperplug config show --origin'],
  'hyperplug config schema': ['hyperplug config schema > hyperplug.schema.json'],
  'hyperplug image build': ['hyperplug image build', 'hyperplug image build --refresh'],
  'hyperplug version': ['hyperplug version --json'],
  'hyperplug completion': [
    'source <(hyperplug completion bash)',
    'hyperplug completion zsh > ~/.zsh/completions/_hyperplug  # a directory of $fpath',
    'hyperplug completion fish > ~/.config/fish/completions/hyperplug.fish',
  ],
};

export function examples(path: string): string {
  const lines = EXAMPLES[path];
  return lines ? `\nExamples:\n${lines.map((line) => `  ${line}`).join('\n')}` : '';
}
