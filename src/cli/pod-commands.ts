import { type Command, Option } from 'commander';
import type { CommandKit } from './network-commands.js';
import { parseCount, parseDurationMs, parseSizeBytes } from './parse/quantities.js';

/** `pod`, `cp`, `logs`, `stats`, `events`, `ps` and `rm`: the part of the tree that is about pods that live on. */
export function addPodCommands(program: Command, kit: CommandKit): void {
  podCommands(program, kit);
  listCommands(program, kit);
  watchCommands(program, kit);
  copyCommand(program, kit);
}

export const container = () => new Option('-c, --container <id>', 'in this container of the pod');
const file = (description: string) =>
  new Option('-f, --file <file>', description).argParser((text, all: string[] | undefined) => [...(all ?? []), text]);
const someFile = () => file('the pods that this file specifies, by their ids; - is standard input; repeatable');
const labels = () =>
  new Option('--label <KEY=VALUE>', 'those with this label alone; repeatable')
    .argParser((text, all: string[]) => [...all, text])
    .default([], 'none');

function podCommands(program: Command, { command, run }: CommandKit): void {
  const pod = command(program, 'pod', 'pods that are specified in files, and live on');
  const load = () => import('./commands/pod.js');

  command(pod, 'create', 'make pods as a file specifies them, without starting them')
    .addOption(file('YAML or JSON, one pod or several; - is standard input; repeatable'))
    .option('--start', 'start them too')
    .action(async (options, made) => run(made, async (context) => (await load()).create(context, options)));

  command(pod, 'start', 'start pods')
    .argument('[POD...]', 'pods')
    .addOption(
      file('the pods that this file specifies, made where they are not there; - is standard input; repeatable'),
    )
    .action(async (pods: string[], options, made) =>
      run(made, async (context) => (await load()).start(context, pods, options)),
    );

  command(pod, 'stop', 'end the VMs of pods; records, files and disks stay')
    .argument('[POD...]', 'pods')
    .addOption(someFile())
    .addOption(
      new Option('--time <time>', 'how long the guest may take, before it is ended: 30, 30s, 5m; 0: at once').argParser(
        (text) => parseDurationMs(text, '--time', 0),
      ),
    )
    .action(async (pods: string[], options, made) =>
      run(made, async (context) => (await load()).stop(context, pods, options)),
    );

  command(pod, 'rm', 'remove pods that do not run')
    .argument('[POD...]', 'pods')
    .addOption(someFile())
    .option('--force', 'end those that run, even if another process holds them')
    .action(async (pods: string[], options, made) =>
      run(made, async (context) => (await load()).rm(context, pods, options)),
    );

  const simple = [
    ['pause', 'make the virtual CPUs of pods stand still'],
    ['resume', 'let paused pods go on'],
    ['inspect', 'print all that is known of pods, as JSON'],
  ] as const;
  for (const [name, description] of simple) {
    command(pod, name, description)
      .argument('[POD...]', 'pods')
      .addOption(someFile())
      .action(async (pods: string[], options, made) =>
        run(made, async (context) => (await load())[name](context, pods, options)),
      );
  }

  command(pod, 'wait', 'wait until the VMs of pods have ended, and print what came of them')
    .argument('[POD...]', 'pods')
    .addOption(someFile())
    .addOption(new Option('--timeout <time>', 'wait no longer: 30, 30s, 5m').argParser((text) => parseDurationMs(text)))
    .action(async (pods: string[], options, made) =>
      run(made, async (context) => (await load()).wait(context, pods, options)),
    );

  listing(command(pod, 'ls', 'list pods'), run);
}

function listing(made: Command, run: CommandKit['run']): void {
  made
    .option('-a, --all', 'those that do not run, too')
    .addOption(labels())
    .action(async (options, given) =>
      run(given, async (context) => (await import('./commands/ps.js')).execute(context, options)),
    );
}

function listCommands(program: Command, { command, run }: CommandKit): void {
  listing(command(program, 'ps', 'list pods'), run);

  command(program, 'rm <POD...>', 'end pods and remove all that was made for them')
    .option('-f, --force', 'even if another process holds it')
    .action(async (pods: string[], options, made) =>
      run(made, async (context) => (await import('./commands/rm.js')).execute(context, pods, options)),
    );
}

function watchCommands(program: Command, { command, run }: CommandKit): void {
  command(program, 'logs <POD>', "print the guest's console log, or a container's output")
    .option('-f, --follow', 'go on as it grows, until the pod ends')
    .addOption(container())
    .addOption(
      new Option('--tail <lines>', 'the last lines alone').argParser((text) => parseCount(text, '--tail', 'lines')),
    )
    .action(async (pod: string, options, made) =>
      run(made, async (context) => (await import('./commands/logs.js')).execute(context, pod, options)),
    );

  command(program, 'stats', 'what pods use')
    .argument('[POD...]', 'pods; without it all that run')
    .option('-w, --watch', 'go on, once an interval')
    .addOption(
      new Option('--interval <time>', 'what rates are taken over: 1, 500ms')
        .argParser((text) => parseDurationMs(text, '--interval'))
        .default(1_000, '1s'),
    )
    .action(async (pods: string[], options, made) =>
      run(made, async (context) => (await import('./commands/stats.js')).execute(context, pods, options)),
    );

  command(program, 'events', 'what has happened to pods')
    .argument('[POD...]', 'pods; without it all')
    .option('-f, --follow', 'go on as it happens; without --since from now on')
    .addOption(
      new Option('--since <sequence>', 'what came after the event of this number; 0: all that is kept').argParser(
        (text) => parseCount(text, '--since', 'the number of an event'),
      ),
    )
    .action(async (pods: string[], options, made) =>
      run(made, async (context) => (await import('./commands/events.js')).execute(context, pods, options)),
    );
}

function copyCommand(program: Command, { command, run }: CommandKit): void {
  command(program, 'cp <SRC> <DEST>', 'copy files and directories into a pod, or out of it')
    .usage('[options] SRC POD:PATH | POD:PATH DEST')
    .addOption(container())
    .option('-L, --follow-link', 'follow SRC, where it is a symbolic link itself')
    .addOption(
      new Option('--max-size <size>', 'of all that is copied out of the pod: MiB, or like 512m, 1g').argParser((text) =>
        parseSizeBytes(text, '--max-size'),
      ),
    )
    .action(async (source: string, destination: string, options, made) =>
      run(made, async (context) => (await import('./commands/cp.js')).execute(context, source, destination, options)),
    );
}
