import {
  after as nodeAfter,
  afterEach as nodeAfterEach,
  before as nodeBefore,
  beforeEach as nodeBeforeEach,
  describe as nodeDescribe,
  it as nodeIt,
} from 'node:test';
import { expect } from 'chai';
import { HyperplugError } from '../../../src/core/errors.js';
import { failedTests, recordSuite } from '../../../src/testing/recording-runner.js';
import { type ContractRunner, expectCode } from '../../../src/testing/runner.js';

describe('recordSuite', () => {
  it('runs hooks and tests in the order of mocha', async () => {
    const order: string[] = [];
    const step = (name: string) => () => void order.push(name);
    const results = await recordSuite(({ describe, it, before, after, beforeEach, afterEach }) => {
      describe('outer', () => {
        before(step('before'));
        after(step('after'));
        beforeEach(step('beforeEach'));
        afterEach(step('afterEach'));
        it('one', step('one'));
        describe('inner', () => {
          beforeEach(step('inner beforeEach'));
          afterEach(step('inner afterEach'));
          it('two', async () => step('two')());
        });
      });
    });
    expect(order).to.deep.equal(
      'before,beforeEach,one,afterEach,beforeEach,inner beforeEach,two,inner afterEach,afterEach,after'.split(','),
    );
    expect(results).to.deep.equal([
      { path: ['outer'], name: 'one', passed: true },
      { path: ['outer', 'inner'], name: 'two', passed: true },
    ]);
  });

  it('records what threw, rejected or hung, and goes on', async () => {
    const results = await recordSuite(
      ({ it }) => {
        it('throws', () => {
          throw new Error('thrown');
        });
        it('rejects', () => Promise.reject(new Error('rejected')));
        it('hangs', () => new Promise(() => {}));
        it('passes', () => {});
      },
      { timeoutMs: 50 },
    );
    expect(failedTests(results)).to.deep.equal(['throws', 'rejects', 'hangs']);
    expect(results.map(({ error }) => (error as Error | undefined)?.message)).to.deep.equal([
      'thrown',
      'rejected',
      'no result after 50 ms',
      undefined,
    ]);
  });

  it('blames a failed hook on the tests it belongs to', async () => {
    const fail = () => {
      throw new Error('hook');
    };
    const results = await recordSuite(({ describe, it, before, after, afterEach }) => {
      describe('before', () => {
        before(fail);
        it('a', () => {});
        describe('below', () => void it('b', () => {}));
      });
      describe('afterEach', () => {
        afterEach(fail);
        it('c', () => {});
      });
      describe('after', () => {
        after(fail);
        it('d', () => {});
        it('e', () => {});
      });
    });
    expect(failedTests(results)).to.deep.equal(['a', 'b', 'c', 'e']);
  });
});

describe('ContractRunner', () => {
  it('is what mocha and node:test offer', () => {
    const mocha: ContractRunner = { describe, it, before, after, beforeEach, afterEach };
    const node: ContractRunner = {
      describe: nodeDescribe,
      it: nodeIt,
      before: nodeBefore,
      after: nodeAfter,
      beforeEach: nodeBeforeEach,
      afterEach: nodeAfterEach,
    };
    expect([mocha, node]).to.have.length(2);
  });
});

describe('expectCode', () => {
  const failing = () => Promise.reject(new HyperplugError('TIMEOUT', 'late'));
  it('returns the error of the code', async () => {
    expect(await expectCode(failing(), 'ABORTED', 'TIMEOUT')).to.include({ code: 'TIMEOUT', message: 'late' });
  });

  it('fails on another code, another error and on success', async () => {
    const messages: string[] = [];
    for (const result of [failing(), Promise.reject(new TypeError('no')), Promise.resolve(1)]) {
      await expectCode(result, 'ABORTED').catch((error: Error) => messages.push(error.message));
    }
    expect(messages).to.deep.equal([
      'expected ABORTED, got TIMEOUT (late)',
      'expected ABORTED, got TypeError: no',
      'expected ABORTED, but it resolved',
    ]);
  });
});
