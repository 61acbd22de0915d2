import { readlinkSync, statSync } from 'node:fs';
import { expect } from 'chai';
import { hasCode } from '../../src/core/errors.js';
import { runCommand } from '../../src/host/command.js';
import { TestNamespace } from '../support/netns.js';
import { requireOrSkip } from '../support/require.js';

describe('runCommand in a network namespace', () => {
  let namespace: TestNamespace;
  const call = () => ({ signal: AbortSignal.timeout(20_000) });
  const ours = () => readlinkSync('/proc/thread-self/ns/net');

  before(function () {
    const reason = TestNamespace.unavailable();
    requireOrSkip(this, reason === undefined, reason ?? '');
    namespace = new TestNamespace();
  });
  after(() => namespace?.delete());

  it('runs the program there, and this process stays where it is', async () => {
    const before = ours();
    const argv = ['readlink', '/proc/self/ns/net'];
    const all = await Promise.all([
      runCommand(argv, { ...call(), netns: namespace.path }),
      runCommand(argv, call()),
      runCommand(argv, { ...call(), netns: namespace.path, input: 'x' }),
    ]);
    const there = `net:[${statSync(namespace.path).ino}]\n`;
    expect(all.map(({ stdout }) => stdout)).to.deep.equal([there, `${before}\n`, there]);
    expect(ours()).to.equal(before);
  });

  it('is refused where there is no namespace, or no program', async () => {
    const before = ours();
    for (const netns of ['/run/netns/hp-none', '/dev/null']) {
      const error = await runCommand(['true'], { ...call(), netns }).catch((reason: unknown) => reason);
      expect(hasCode(error, 'HOST_PERMISSION'), String(error)).to.equal(true);
    }
    const missing = { ...call(), netns: namespace.path };
    const error = await runCommand(['/nonexistent/program'], missing).catch((reason: unknown) => reason);
    expect(hasCode(error, 'HOST_TOOL_MISSING'), String(error)).to.equal(true);
    expect(ours()).to.equal(before);
  });
});
