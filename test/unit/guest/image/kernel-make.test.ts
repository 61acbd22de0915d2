import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { missingOptions } from '../../../../guest/image/kernel-make.js';
import { repository } from '../../../support/sandbox.js';

describe('options of our own kernel', () => {
  it('that the sources dropped are named; comments and options that are off are none', () => {
    const fragment = '# what for\nCONFIG_A=y\nCONFIG_B=y\nCONFIG_SWAP=n\nCONFIG_NR_CPUS=64\n\n';
    expect(missingOptions(fragment, 'CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_NR_CPUS=8\n')).to.deep.equal([
      'CONFIG_B=y',
      'CONFIG_NR_CPUS=64',
    ]);
    expect(missingOptions(fragment, 'CONFIG_A=y\nCONFIG_B=y\nCONFIG_NR_CPUS=64\n# CONFIG_SWAP is not set\n')).to.be
      .empty;
  });

  it('stand once each', () => {
    const lines = readFileSync(join(repository, 'guest/image/kernel.config'), 'utf8').split('\n');
    const names = lines.filter((line) => line !== '' && !line.startsWith('#')).map((line) => line.split('=')[0]);
    expect(names)
      .to.have.length(new Set(names).size)
      .and.satisfy((all: string[]) => all.every((name) => /^CONFIG_\w+$/.test(name)));
  });
});
