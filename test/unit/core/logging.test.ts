import { execFileSync, spawnSync } from 'node:child_process';
import { expect } from 'chai';
import { HyperplugError } from '../../../src/core/errors.js';
import { createLogger, type LoggingOptions } from '../../../src/core/logging.js';
import type { PluginLogger } from '../../../src/core/plugin.js';

function capture(options: Partial<LoggingOptions> = {}) {
  const lines: string[] = [];
  const destination = { write: (text: string) => void lines.push(text) };
  const logger = createLogger({ level: 'info', format: 'json', isTerminal: false, destination, ...options });
  return { logger, lines, last: () => JSON.parse(lines.at(-1)!) as Record<string, unknown> };
}

describe('createLogger', () => {
  it('writes JSON lines from its level on, with level, time and pid', () => {
    const { logger, lines, last } = capture({ level: 'warn' });
    logger.info('no');
    logger.warn({ nic: 'eth0' }, 'yes');
    expect(lines).to.have.length(1);
    expect(lines[0]).to.match(/\n$/);
    expect(last()).to.deep.include({ level: 'warn', msg: 'yes', nic: 'eth0', pid: process.pid });
    expect(new Date(last().time as string).getTime()).to.be.greaterThan(0);
  });

  it('writes nothing when silent', () => {
    const { logger, lines } = capture({ level: 'silent' });
    logger.fatal('no');
    expect(lines).to.deep.equal([]);
  });

  it('is what plugins log to, and names the component of a child', () => {
    const { logger, last } = capture();
    const child: PluginLogger = logger.child({ component: 'qemu' });
    child.info({ a: 1 }, 'x');
    expect(last()).to.deep.include({ component: 'qemu', a: 1 });
  });

  it('is pretty on a terminal, JSON elsewhere, or as told', () => {
    const pretty = /^\[\d\d:\d\d:\d\d\.\d{3}\] INFO: qemu: started\n {4}nic: "eth0"\n$/;
    const line = (options: Partial<LoggingOptions>) => {
      const { logger, lines } = capture(options);
      logger.child({ component: 'qemu' }).info({ nic: 'eth0' }, 'started');
      return lines.join('').replaceAll(/\u001b\[\d+m/g, '');
    };
    expect(line({ format: 'auto', isTerminal: true })).to.match(pretty);
    expect(line({ format: 'pretty' })).to.match(pretty);
    expect(line({ format: 'auto' })).to.match(/^\{/);
    expect(line({ format: 'json', isTerminal: true })).to.match(/^\{/);
  });

  it('writes no secret, in fields, messages, children or errors, also where JSON escapes it', () => {
    const secret = 'hunter"2\nü';
    const { logger, lines } = capture({ secrets: [secret, 'abc', '', 'hunter"2\nü-longer'] });
    logger.child({ key: secret }).info({ deep: { list: [`x${secret}y`] } }, `msg ${secret}`);
    logger.info(`${secret}-longer`);
    logger.error({ err: new Error(`it said ${secret}`) }, 'failed');
    logger.info('abc is too short to be looked for');
    const all = lines.join('');
    expect(all).not.to.include(JSON.stringify(secret).slice(1, -1)).and.not.to.include('longer');
    expect(all).to.include('x***y').and.include('msg ***').and.include('it said ***').and.include('abc is');
  });

  it('masks before it makes pretty', () => {
    const { logger, lines } = capture({ format: 'pretty', secrets: ['line1\nline2'] });
    logger.info({ a: 'line1\nline2' }, 'line1\nline2');
    expect(lines.join('')).not.to.include('line2');
  });

  it('writes the names of environment variables, never their values', () => {
    const { logger, lines, last } = capture();
    logger.info(
      { spec: { env: { A: 'v1' }, environment: ['B=v2=v3'], envs: [{ env: 'C', value: 'v4' }] }, env: 'v5' },
      'x',
    );
    expect(last()).to.deep.include({
      spec: { env: { A: '***' }, environment: ['B=***'], envs: [{ env: 'C', value: '***' }] },
      env: '***',
    });
    logger
      .child({ env: { A: 'v6' } })
      .child({ spec: { envs: ['D=v9'] }, password: 'v7' })
      .error({ err: fail({ env: { A: 'v8' } }) }, 'y');
    expect(lines.join('')).not.to.match(/v\d/);
  });

  it('writes an error with code, details, cause and all its errors, whatever its key', () => {
    const { logger, last } = capture();
    const inner = Object.assign(new Error('gone'), { code: 'ENOENT' });
    logger.error({ failure: fail({ path: '/x' }, inner) }, 'x');
    const failure = last().failure as Record<string, unknown>;
    expect(failure).to.deep.include({ code: 'HOST_PERMISSION', message: 'no', details: { path: '/x' } });
    expect(failure.cause).to.deep.include({ code: 'ENOENT', message: 'gone' });
    expect((failure.errors as unknown[])[0]).to.deep.include({ message: 'gone' });
  });

  it('survives what JSON cannot hold', () => {
    const { logger, last } = capture();
    const circle: Record<string, unknown> = { big: 5n, bytes: Buffer.from('abc'), at: new Date(0) };
    circle.self = circle;
    logger.info({ circle }, 'x');
    expect(last().circle).to.deep.equal({
      big: '5',
      bytes: '[3 bytes]',
      at: '1970-01-01T00:00:00.000Z',
      self: '[circular]',
    });
  });

  it('writes where no file can be opened any more, in a process that stays', () => {
    const url = new URL('../../../src/core/logging.js', import.meta.url).href;
    const script = `const { createLogger } = await import(${JSON.stringify(url)});
      const [json, pretty] = ['json', 'pretty'].map((format) => createLogger({ level: 'warn', format, serves: true }));
      const { openSync } = await import('node:fs');
      try { for (;;) openSync('/dev/null'); } catch {}
      for (const logger of [json, pretty]) logger.child({ component: 'x' }).warn('no descriptors');`;
    const limited = ['-c', 'ulimit -n 512; exec "$0" "$@"', process.execPath, '--input-type=module', '-e', script];
    const { stderr } = spawnSync('sh', limited, { encoding: 'utf8' });
    expect(stderr).to.match(/"component":"x","msg":"no descriptors"[\s\S]*WARN: x: no descriptors/);
  });

  it('writes to standard error at once: nothing is lost when the process ends in the next statement', () => {
    const url = new URL('../../../src/core/logging.js', import.meta.url).href;
    const script = `const { createLogger } = await import(${JSON.stringify(url)});
      createLogger({ level: 'info', format: 'auto' }).info('last words');
      process.kill(process.pid, 'SIGKILL');`;
    const run = () =>
      execFileSync(process.execPath, ['--input-type=module', '-e', script], { stdio: 'pipe', timeout: 60_000 });
    try {
      run();
      expect.fail('it was to be killed');
    } catch (error) {
      const { signal, stderr, stdout } = error as { signal: string; stderr: Buffer; stdout: Buffer };
      expect(signal).to.equal('SIGKILL');
      expect(stderr.toString()).to.include('"msg":"last words"');
      expect(stdout.toString()).to.equal('');
    }
  }).timeout(60_000);
});

const fail = (details: Record<string, unknown>, cause?: unknown) =>
  new HyperplugError('HOST_PERMISSION', 'no', { details, cause, errors: cause ? [cause] : [] });
