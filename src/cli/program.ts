import { Argument, Command, Option } from 'commander';
import { PLUGIN_KINDS, type PluginKind } from '../core/plugin.js';
import { TEST_RUNNERS } from '../kit/runners.js';
import type { CommandContext, CommonOptions } from './context.js';
import { type CliDeps, LOG_FORMATS, LOG_LEVELS } from './deps.js';
import { examples } from './examples.js';
import { addNetworkCommands } from './network-commands.js';
import { type NicText, parseNic } from './parse/nic.js';
import { type PublishedPort, parsePublish } from './parse/ports.js';
import { parseCpus, parseDurationMs, parseMemoryMib } from './parse/quantities.js';
import { addPodCommands, container } from './pod-commands.js';
import { addTemplateCommands } from './template-commands.js';

/** Runs one command; its module is imported only now. */
export type Invoke = (common: CommonOptions, body: (context: CommandContext) => Promise<number>) => Promise<void>;

/** These need the whole tree, with all options. */
const ABOUT_ALL: readonly (string | undefined)[] = ['help', 'completion'];

/**
 * The tree of commands: the one place where options stand. Help, completion, checks and (by a test) docs/cli.md follow it.
 * @param argv what it is built for: other commands than the one named first get no common options, which would take longer
 * to make than all the rest.
 */
export function buildProgram(deps: CliDeps, invoke: Invoke, [first]: readonly string[] = []): Command {
  const only = first?.startsWith('-') || ABOUT_ALL.includes(first) ? undefined : first;
  const program = new Command('hyperplug')
    .description('Small Linux VMs (pods) with a network: run a command in one, keep it, look after it.')
    .usage('[options] COMMAND')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => deps.io.stdout.print(text),
      writeErr: (text) => deps.io.stderr.print(text),
      outputError: () => {},
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    })
    .enablePositionalOptions()
    .helpCommand('help [COMMAND]', 'show the help of a command')
    .version(deps.version, '-V, --version', 'print the version and end')
    .addHelpText('after', examples('hyperplug'));

  const command = (parent: Command, usage: string, description: string): Command => {
    const made = parent.command(usage).description(description);
    const [name] = pathOf(made).split(' ').slice(1);
    if (only !== undefined && name !== only) return made;
    addCommon(made);
    return made.addHelpText('after', () => examples(pathOf(made)));
  };
  const run = (made: Command, body: (context: CommandContext) => Promise<number>) => invoke(givenTo(made), body);

  addCommon(program);

  addStreams(command(program, 'run [COMMAND...]', 'run a command in a new pod; a shell if none is given'))
    .usage('[options] [--] COMMAND [ARGS…]')
    .passThroughOptions()
    .addOption(
      new Option('-m, --memory <size>', 'memory: MiB, or like 512m, 1g').argParser((text) => parseMemoryMib(text)),
    )
    .addOption(new Option('--cpus <count>', 'virtual CPUs').argParser(parseCpus))
    .addOption(
      new Option('-p, --publish <ports>', 'publish ports, [HOST_IP:]HOST_PORT:POD_PORT[/udp]; repeatable')
        .argParser((text, all: PublishedPort[]) => [...all, parsePublish(text)])
        .default([], 'none'),
    )
    .option('--network <name>', 'the configured network it is attached to; none: no NIC at all')
    .addOption(
      new Option('--nic <nic>', 'a NIC, net=NAME,ip=ADDRESS,mac=…,mtu=…,name=…; repeatable')
        .argParser((text, all: NicText[]) => [...all, parseNic(text, '--nic')])
        .default([], 'none'),
    )
    .option('--template <name>', 'go on from this saved VM instead of booting; auto: from one that fits; none')
    .option('--name <id>', "the pod's id; else one is made up")
    .addOption(list('--label <KEY=VALUE>', 'a label of the pod; repeatable'))
    .addOption(
      new Option('--timeout <time>', 'end the command after this long: 30, 30s, 5m').argParser((text) =>
        parseDurationMs(text),
      ),
    )
    .option('--keep', 'the pod stays when the command has ended; its id is printed to standard error')
    .action(async (argv: string[], options, made) =>
      run(made, async (context) => (await import('./commands/run.js')).execute(context, argv, options)),
    );

  addStreams(command(program, 'exec <POD> <COMMAND...>', 'run a command in a pod that lives on'))
    .usage('[options] POD [--] COMMAND [ARGS…]')
    .passThroughOptions()
    .addOption(container())
    .action(async (pod: string, argv: string[], options, made) =>
      run(made, async (context) => (await import('./commands/exec.js')).execute(context, pod, dashes(argv), options)),
    );

  addPodCommands(program, { command, run });

  addNetworkCommands(program, { command, run });

  addTemplateCommands(program, { command, run });

  command(program, 'gc', 'finish or undo what dead processes left, and remove what belongs to nothing')
    .option('--dry-run', 'tell what would be done, and change nothing')
    .action(async (options, made) =>
      run(made, async (context) => (await import('./commands/gc.js')).execute(context, options)),
    );

  command(program, 'daemon', 'run the daemon: it holds pods and networks, and serves the API on a unix socket')
    .option('--stop-pods', 'when it ends, end all pods; else those that are kept run on')
    .action(async (options, made) =>
      run(made, async (context) => (await import('./commands/daemon.js')).execute(context, options)),
    );

  command(program, 'doctor', 'check what this machine can do, and say what to mend').action(async (_options, made) =>
    run(made, async (context) => (await import('./commands/doctor.js')).execute(context)),
  );

  command(program, 'plugins', 'list the plugins and which of them are used').action(async (_options, made) =>
    run(made, async (context) => (await import('./commands/plugins.js')).execute(context)),
  );

  command(program, 'create-plugin', 'make a package with the skeleton of a plugin, its contract test and its docs')
    .addArgument(new Argument('<KIND>', 'what it shall be').choices(PLUGIN_KINDS))
    .argument('<NAME>', "the plugin's name")
    .option('--dir <folder>', 'where it is made, absent or empty; else ./hyperplug-NAME')
    .addOption(new Option('--test-runner <runner>', 'what runs its tests').choices(TEST_RUNNERS).default('node'))
    .action(async (kind: PluginKind, name: string, options, made) =>
      run(made, async (context) =>
        (await import('./commands/create-plugin.js')).execute(context, { kind, name, ...options }),
      ),
    );

  const config = command(program, 'config', 'look at the configuration');
  command(config, 'show', 'print the configuration as it holds')
    .option('--origin', 'where each value comes from')
    .action(async (options, made) =>
      run(made, async (context) => (await import('./commands/config.js')).show(context, options)),
    );
  command(config, 'schema', 'print the JSON schema of the configuration file').action(async (_options, made) =>
    run(made, async (context) => (await import('./commands/config.js')).schema(context)),
  );

  const image = command(program, 'image', 'the kernel and initramfs that pods boot');
  command(image, 'build', 'build the guest image if it is not there')
    .option('--refresh', 'build it anew from current packages')
    .option('--kernel', 'build a small kernel for it first, which boots faster; takes many minutes, once')
    .action(async (options, made) =>
      run(made, async (context) => (await import('./commands/image.js')).build(context, options)),
    );

  command(program, 'completion', 'print a completion script for a shell')
    .addArgument(new Argument('<SHELL>', 'the shell').choices(['bash', 'zsh', 'fish']))
    .action(async (shell: 'bash' | 'zsh' | 'fish', _options, made) =>
      run(made, async (context) => (await import('./commands/completion.js')).execute(context, shell, program)),
    );

  command(program, 'version', 'print the version').action(async (_options, made) =>
    run(made, async (context) => (await import('./commands/version.js')).execute(context)),
  );

  return program;
}

/** `hyperplug config show` */
export function pathOf(command: Command): string {
  return command.parent ? `${pathOf(command.parent)} ${command.name()}` : command.name();
}

/** Options of a command and of those it stands below: before or after its name. */
function givenTo(command: Command): CommonOptions {
  const own = command.opts<CommonOptions>();
  const above: CommonOptions = command.parent ? givenTo(command.parent) : {};
  // Without --no-daemon commander says `true` at each place.
  return { ...above, ...own, daemon: above.daemon !== false && own.daemon !== false };
}

/** After POD a `--` may stand before the command. */
function dashes(argv: readonly string[]): readonly string[] {
  return argv[0] === '--' ? argv.slice(1) : argv;
}

function addCommon(command: Command): Command {
  return command
    .addOption(new Option('--config <file>', 'configuration file').helpGroup('Common options:'))
    .addOption(new Option('--driver <name>', 'the hypervisor plugin to use').helpGroup('Common options:'))
    .addOption(new Option('--log-level <level>', 'what is logged').choices(LOG_LEVELS).helpGroup('Common options:'))
    .addOption(
      new Option('--log-format <format>', 'how it is logged').choices(LOG_FORMATS).helpGroup('Common options:'),
    )
    .addOption(new Option('--json', 'output and errors as JSON').helpGroup('Common options:'))
    .addOption(new Option('--socket <path>', "the daemon's socket").helpGroup('Common options:'))
    .addOption(new Option('--no-daemon', 'do without the daemon, though one runs').helpGroup('Common options:'))
    .addOption(
      new Option('--rootless', 'networks on bridges in namespaces of your own, without root').helpGroup(
        'Common options:',
      ),
    );
}

function addStreams(command: Command): Command {
  return command
    .option('-i, --interactive', 'give it our standard input, a terminal too')
    .option('-t, --tty', 'give it a terminal')
    .option('-n, --no-stdin', 'give it no standard input')
    .addOption(list('-e, --env <KEY=VALUE>', 'a variable of its environment; KEY alone: with the value it has here'))
    .option('-w, --workdir <path>', 'the directory it starts in')
    .option('-u, --user <user>', 'the user it runs as, by name or number');
}

function list(flags: string, description: string): Option {
  return new Option(flags, description).argParser((text, all: string[]) => [...all, text]).default([], 'none');
}
