import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import type { Command } from 'commander';
import { LOG_FORMATS, LOG_LEVELS } from '../../../src/cli/deps.js';
import { EXIT } from '../../../src/cli/errors.js';
import { buildProgram, pathOf } from '../../../src/cli/program.js';
import * as schema from '../../../src/core/config/schema.js';
import { FakeIo, fakeDeps } from '../../support/cli/fake-io.js';

const text = readFileSync(new URL('../../../../docs/cli.md', import.meta.url), 'utf8');
const program = buildProgram(fakeDeps(new FakeIo(), undefined).deps, async () => {});

/** The flags in the tables below each heading; cells may hold an escaped bar. */
function documented(): Map<string, string[]> {
  const sections = new Map<string, string[]>();
  for (const section of text.split(/^#{2,3} /m).slice(1)) {
    const heading = section.split('\n', 1)[0] ?? '';
    const name = /^`(hyperplug [a-z-]+(?: [a-z-]+)?)/.exec(heading)?.[1] ?? heading;
    sections.set(
      name,
      [...section.matchAll(/^\| `(-[^`]*)` \|/gm)].map((match) => match[1] ?? ''),
    );
  }
  return sections;
}

function commands(command: Command): Command[] {
  return command.commands.length === 0 ? [command] : command.commands.flatMap(commands);
}

const flagsOf = (command: Command) => command.options.filter((option) => !option.hidden).map((option) => option.flags);
const sections = documented();
const common = (sections.get('Common options') ?? []).filter((flags) => !/--help|--version/.test(flags));

describe('docs/cli.md and the program', () => {
  it('name the same commands', () => {
    const inDocs = [...sections.keys()].filter((name) => name.startsWith('hyperplug '));
    expect(inDocs.sort()).to.deep.equal(commands(program).map(pathOf).sort());
  });
  for (const command of commands(program)) {
    it(`name the same options of ${pathOf(command)}`, () => {
      const own = flagsOf(command).filter((flags) => !common.includes(flags));
      expect(sections.get(pathOf(command))).to.deep.equal(own);
      expect(flagsOf(command)).to.include.members(common);
    });
  }
  it('name the same common options, and the program’s own', () => {
    expect(common).to.have.length(8);
    expect(flagsOf(program).sort()).to.deep.equal([...common, '-V, --version'].sort());
  });
  it('name every exit code that is ours', () => {
    for (const code of Object.values(EXIT)) expect(text).to.match(new RegExp(`^\\| ${code} \\|`, 'm'));
  });
  it('every command has a description and examples', () => {
    for (const command of commands(program)) {
      expect(command.description(), pathOf(command)).to.not.equal('');
      let help = '';
      command.configureOutput({ writeOut: (part) => (help += part) }).outputHelp();
      expect(help, pathOf(command)).to.contain('Examples:');
    }
  });
  it('offer the levels and formats that the configuration takes', () => {
    expect(LOG_LEVELS).to.deep.equal(schema.LOG_LEVELS);
    expect(LOG_FORMATS).to.deep.equal(schema.LOG_FORMATS);
  });
});
