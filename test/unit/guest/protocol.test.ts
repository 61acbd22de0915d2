import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { COMMAND, LIMIT, PROTOCOL_VERSION } from '../../../src/plugins/hyperstart/protocol.gen.js';
import { repositoryRoot } from '../../support/repository.js';

describe('guest/protocol', () => {
  it('has generated files that are current', () => {
    const run = spawnSync(process.execPath, ['guest/protocol/generate.mjs', '--check'], {
      cwd: repositoryRoot,
      encoding: 'utf8',
    });
    expect(run.stderr).to.equal('');
    expect(run.status).to.equal(0);
  });

  it('keeps the codes of the base protocol', () => {
    expect(PROTOCOL_VERSION).to.equal(4244);
    expect(COMMAND).to.include({ GETVERSION: 0, STARTPOD: 1, DESTROYPOD: 4, EXECCMD: 6, READY: 8, ACK: 9, ERROR: 10 });
    expect(COMMAND).to.include({ WINSIZE: 11, PING: 12, NEXT: 14, PROCESSASYNCEVENT: 23, DELETEINTERFACE: 25 });
  });

  it('has no code twice', () => {
    const codes = Object.values(COMMAND);
    expect(new Set(codes).size).to.equal(codes.length);
  });

  it('gives C and TypeScript the same numbers', () => {
    const header = readFileSync(join(repositoryRoot, 'guest/agent/protocol.gen.h'), 'utf8');
    for (const [name, code] of Object.entries(COMMAND)) expect(header).to.contain(`\tHP_${name} = ${code},\n`);
    for (const [name, value] of Object.entries(LIMIT)) expect(header).to.contain(`#define HP_${name} ${value}u\n`);
  });
});
