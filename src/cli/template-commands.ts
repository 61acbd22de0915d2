import { type Command, Option } from 'commander';
import type { CommandKit } from './network-commands.js';
import { parseCount, parseCpus, parseMemoryMib } from './parse/quantities.js';

/** `template`: saved VMs that pods go on from. */
export function addTemplateCommands(program: Command, { command, run }: CommandKit): void {
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
