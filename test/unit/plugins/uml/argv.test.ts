import { expect } from 'chai';
import { type UmlPlan, umlArgs } from '../../../../src/plugins/uml/argv.js';

const plan = (changes: Partial<UmlPlan> = {}): UmlPlan => ({
  memoryMib: 128,
  tuning: 'fast',
  fds: { sockets: 3, console: 4, initramfs: 5, channels: [[6, 7] as const, [8, 9] as const] },
  disks: [],
  hostfs: '/run/vm/none',
  kernelArgs: [],
  ...changes,
});

describe('arguments of linux.uml', () => {
  it('name descriptors and nothing of the host by its path', () => {
    const args = umlArgs(plan());
    expect(args).to.include.members([
      ...['mem=128M', 'initrd=/proc/self/fd/5', 'con0=null,fd:4', 'ssl0=fd:6,fd:7', 'ssl1=fd:8,fd:9'],
      ...['uml_dir=/proc/self/fd/3', 'mconsole=notify:/proc/self/fd/3/notify', 'hostfs=/run/vm/none', 'noreboot'],
    ]);
    expect(
      args.filter((word) => word.includes('/') && !/=(notify:)?\/(proc\/self\/fd|run\/vm\/none)/.test(word)),
    ).to.eql([]);
  });

  it('fast: consoles and lines that nobody asked for are not made, and what is said of them is not printed', () => {
    const args = umlArgs(plan());
    expect(args).to.include.members(['con=none', 'ssl=none', 'loglevel=3', 'sysctl.kernel.printk=4']);
    // UML takes the last that fits: what holds for all stands before what holds for one.
    expect(args.indexOf('con=none')).to.be.below(args.indexOf('con0=null,fd:4'));
    expect(args.indexOf('ssl=none')).to.be.below(args.indexOf('ssl0=fd:6,fd:7'));
  });

  it('fast: who says how much the kernel prints has it so', () => {
    for (const word of ['loglevel=7', 'debug', 'quiet', 'ignore_loglevel']) {
      const args = umlArgs(plan({ kernelArgs: [word] }));
      expect(args.filter((each) => /loglevel|printk|quiet|debug/.test(each))).to.deep.equal([word]);
    }
  });

  it('tuning none: only what the driver needs', () => {
    const args = umlArgs(plan({ tuning: 'none' }));
    expect(args).to.include.members(['con=null', 'ssl=null']);
    expect(args.filter((word) => /blacklist|loglevel|printk|cryptomgr|legacy/.test(word))).to.deep.equal([]);
  });
});
