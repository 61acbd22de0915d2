import { join } from 'node:path';
import { expect } from 'chai';
import koffi from 'koffi';
import { sdNotify, takeListenFds, watchdogMs } from '../../src/host/sd-notify.js';
import { tempDirs } from '../support/temp-dir.js';

describe('host: the service manager', function () {
  this.timeout(30_000);
  const temp = tempDirs();

  it('is told by datagrams at a path, and at an abstract name', () => {
    for (const name of [join(temp({}), 'notify'), `@hyperplug-test-${process.pid}`]) {
      const receive = bindDatagrams(name);
      expect(sdNotify('READY=1\nSTATUS=ü', name)).to.equal(true);
      expect(receive()).to.equal('READY=1\nSTATUS=ü');
    }
  });

  it('that is not there is told nothing', () => {
    expect(sdNotify('READY=1', undefined)).to.equal(false);
    expect(sdNotify('READY=1', '/no/such/socket')).to.equal(false);
    expect(sdNotify('READY=1', 'relative')).to.equal(false);
    expect(sdNotify('READY=1', `/${'x'.repeat(200)}`)).to.equal(false);
  });

  it("gives its sockets to the very process they are for, and another's are let alone", () => {
    const mine = { LISTEN_PID: String(process.pid), LISTEN_FDS: '0', LISTEN_FDNAMES: 'x' };
    expect(takeListenFds(mine)).to.deep.equal([]);
    expect(mine).to.deep.equal({});
    const other = { LISTEN_PID: '1', LISTEN_FDS: '1' };
    expect(takeListenFds(other)).to.deep.equal([]);
    expect(other.LISTEN_FDS).to.equal('1');
  });

  it('says how often it wants to hear that all is well', () => {
    expect(watchdogMs({ WATCHDOG_USEC: '30000000' })).to.equal(30_000);
    expect(watchdogMs({ WATCHDOG_USEC: '30000000', WATCHDOG_PID: '1' })).to.equal(undefined);
    expect(watchdogMs({})).to.equal(undefined);
    expect(watchdogMs({ WATCHDOG_USEC: 'x' })).to.equal(undefined);
  });
});

/** Node has no datagram sockets of this family. Returns what takes one datagram and closes. */
function bindDatagrams(name: string): () => string {
  const libc = koffi.load('libc.so.6');
  const path = Buffer.from(name.replace(/^@/, '\0'));
  const address = Buffer.concat([Buffer.from([1, 0]), path]);
  const fd: number = libc.func('int socket(int, int, int)')(1, 2 | 0o4000, 0);
  expect(libc.func('int bind(int, const void *, uint)')(fd, address, address.length)).to.equal(0);
  return () => {
    const buffer = Buffer.alloc(4096);
    const length = Number(libc.func('long recv(int, _Out_ void *, size_t, int)')(fd, buffer, buffer.length, 0));
    libc.func('int close(int)')(fd);
    return buffer.toString('utf8', 0, Math.max(0, length));
  };
}
