/** Command → what its help ends with. */
const EXAMPLES: Readonly<Record<string, readonly string[]>> = {
  hyperplug: ['hyperplug run -- uname -a', 'hyperplug run -it -- sh', 'hyperplug doctor'],
  'hyperplug run': [
    'hyperplug run -- uname -a',
    'hyperplug run -it -p 8080:80 --memory 1g -- sh',
    'tar c . | hyperplug run -- tar t',
    'hyperplug run --nic net=lab,ip=10.7.0.5 --nic name=wan0,mtu=1400 -- ip addr',
    'hyperplug run --keep --name web -- true && hyperplug exec web ps',
  ],
  'hyperplug create-plugin': [
    'hyperplug create-plugin hypervisor tiny',
    'hyperplug create-plugin agent lines --dir plugins/lines --test-runner mocha',
  ],
  'hyperplug exec': ['hyperplug exec web ps', 'hyperplug exec -it web sh', 'hyperplug exec -it -c db web sh'],
  'hyperplug pod create': ['hyperplug pod create -f web.yaml', 'hyperplug pod create --start -f - < web.yaml'],
  'hyperplug pod start': ['hyperplug pod start web', 'hyperplug pod start -f web.yaml'],
  'hyperplug pod stop': ['hyperplug pod stop web', 'hyperplug pod stop --time 1m -f web.yaml'],
  'hyperplug pod rm': ['hyperplug pod rm web', 'hyperplug pod rm --force -f web.yaml'],
  'hyperplug pod pause': ['hyperplug pod pause web'],
  'hyperplug pod resume': ['hyperplug pod resume web'],
  'hyperplug pod inspect': ["hyperplug pod inspect web | jq '.[].containers'"],
  'hyperplug pod wait': ['hyperplug pod wait web', 'hyperplug pod wait --timeout 5m web'],
  'hyperplug pod ls': ['hyperplug pod ls --all', 'hyperplug pod ls --label tier=web'],
  'hyperplug cp': [
    'hyperplug cp ./src web:/srv/src',
    'hyperplug cp web:/var/log/app.log .',
    'hyperplug cp -c db web:/var/lib/dump ./dump',
    'tar c src | hyperplug cp - web:/srv',
    'hyperplug cp web:/srv - | tar t',
  ],
  'hyperplug stats': ['hyperplug stats', 'hyperplug stats --watch web', 'hyperplug stats --json --watch'],
  'hyperplug events': ['hyperplug events', 'hyperplug events -f web', 'hyperplug events --json --since 120 -f'],
  'hyperplug ps': ['hyperplug ps --all', "hyperplug ps --json | jq -r '.[].id'"],
  'hyperplug rm': ['hyperplug rm web', 'hyperplug rm --force web db'],
  'hyperplug logs': ['hyperplug logs web', 'hyperplug logs -f --tail 20 web', 'hyperplug logs -c db web'],
  'hyperplug net init': ['hyperplug net init', 'hyperplug net init lab'],
  'hyperplug net status': ['hyperplug net status', "hyperplug net status --json | jq -r '.[].bridge'"],
  'hyperplug net check': ['hyperplug net check || hyperplug net repair'],
  'hyperplug net repair': ['hyperplug net repair', 'hyperplug net repair lab'],
  'hyperplug net teardown': ['hyperplug net teardown', 'hyperplug net teardown --force lab'],
  'hyperplug nic add': [
    'hyperplug nic add web net=lab',
    'hyperplug nic add web net=lab,ip=10.7.0.5,name=lan0 net=dmz,mtu=1400',
  ],
  'hyperplug nic rm': ['hyperplug nic rm web eth-1'],
  'hyperplug nic set': [
    'hyperplug nic set web eth-1 --add-ip 10.7.0.6 --remove-ip 10.7.0.5',
    'hyperplug nic set web eth-1 --name lan0 --mtu 1400',
  ],
  'hyperplug nic ls': ['hyperplug nic ls web', "hyperplug nic ls --json web | jq '.[].guest'"],
  'hyperplug route add': [
    'hyperplug route add web 10.9.0.0/16 --gateway 10.7.0.1',
    'hyperplug route add web default --gateway 10.7.0.1 --nic eth-1 --metric 200',
  ],
  'hyperplug route rm': ['hyperplug route rm web 10.9.0.0/16'],
  'hyperplug route ls': ['hyperplug route ls web'],
  'hyperplug port add': [
    'hyperplug port add web 8080:80',
    'hyperplug port add web 127.0.0.1:5300-5310:53-63/udp --nic eth-1',
  ],
  'hyperplug port rm': ['hyperplug port rm web 8080', 'hyperplug port rm web 127.0.0.1:5300-5310/udp'],
  'hyperplug port ls': ['hyperplug port ls web'],
  'hyperplug template create': [
    'hyperplug template create small --memory 128m',
    'hyperplug template create small --replace && hyperplug run --template small -- uname -a',
  ],
  'hyperplug template ls': ['hyperplug template ls', "hyperplug template ls --json | jq -r '.[].name'"],
  'hyperplug template inspect': ['hyperplug template inspect small'],
  'hyperplug template rm': ['hyperplug template rm small'],
  'hyperplug gc': ['hyperplug gc --dry-run', 'hyperplug gc --json | jq \'.findings[] | select(.action != "kept")\''],
  'hyperplug daemon': ['hyperplug daemon', 'hyperplug daemon --socket /run/pods.sock --log-level info'],
  'hyperplug doctor': ['hyperplug doctor', 'hyperplug doctor --json'],
  'hyperplug plugins': ['hyperplug plugins', 'hyperplug plugins --json'],
  'hyperplug config show': ['hyperplug config show --origin'],
  'hyperplug config schema': ['hyperplug config schema > hyperplug.schema.json'],
  'hyperplug image build': [
    'hyperplug image build',
    'hyperplug image build --refresh',
    'hyperplug image build --kernel',
  ],
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
