import { type Command, Option } from 'commander';
import type { CommandKit } from './network-commands.js';
import { parseCount, parseCpus, parseMemoryMib } from './parse/quantities.js';

/** `template` and `pool`: saved VMs that pods go on from, and clones of them that wait for pods. */
export function addTemplateCommands(program: Command, kit: CommandKit): void {
  templateCommands(program, kit);
  poolCommands(program, kit);
}

function templateCommands(program: Command, { command, run }: CommandKit): void {
  const template = command(program, 'template', 'saved VMs that pods go on from instead of booting');
  const load = () => import('./commands/template.js');
  command(template, 'create <NAME>', 'boot a VM until its agent is ready, and save it')
    .addOption(
      new Option('-m, --memory <size>', 'memory: MiB, or like 512m, 1g').argParser((text) => parseMemoryMib(text)),
    )
    .addOption(new Option('--cpus <count>', 'virtual CPUs').argParser(parseCpus))
    .addOption(
      new Option('--nics <count>', 'NICs that a pod made from it can have at once').argParser((text) =>
        parseCount(text, '--nics', 'a number of NICs'),
      ),
    )
    .option('--kernel <file>', 'kernel, instead of the one that is configured')
    .option('--initramfs <file>', 'initramfs, instead of the one that is configured')
    .option('--replace', 'make it anew, if it is there')
    .action(async (name: string, options, made) =>
      run(made, async (context) => (await load()).create(context, name, options)),
    );
  command(template, 'ls', 'list templates, and whether they are fresh').action(async (_options, made) =>
    run(made, async (context) => (await load()).ls(context)),
  );
  command(template, 'inspect <NAME...>', 'print all that is known of templates, as JSON').action(
    async (names: string[], _options, made) => run(made, async (context) => (await load()).inspect(context, names)),
  );
  command(template, 'rm <NAME...>', 'remove templates; pods that were made from them run on').action(
    async (names: string[], _options, made) => run(made, async (context) => (await load()).rm(context, names)),
  );
}

function poolCommands(program: Command, { command, run }: CommandKit): void {
  const pool = command(program, 'pool', "the daemon's clones that run and wait for pods");
  const load = () => import('./commands/pool.js');
  command(pool, 'ls', 'list the clones that are ready').action(async (_options, made) =>
    run(made, async (context) => (await load()).ls(context)),
  );
  command(pool, 'fill', 'keep clones ready from now on, and wait until they are')
    .addOption(
      new Option('--size <count>', 'how many; else as is configured').argParser((text) =>
        parseCount(text, '--size', 'a number of clones'),
      ),
    )
    .action(async (options, made) => run(made, async (context) => (await load()).fill(context, options)));
  command(pool, 'drain', 'end all clones, and make no more').action(async (_options, made) =>
    run(made, async (context) => (await load()).drain(context)),
  );
}
