import { PassThrough } from 'node:stream';
import { expect } from 'chai';
import { ChannelWriter, ControlOutbox } from '../../../../src/plugins/hyperstart/channel-writer.js';

describe('control outbox', () => {
  const credit = (sequence: number, bytes: number) => Buffer.from(`<${sequence}:${bytes}>`);

  function outbox(windowBytes: number) {
    const channel = new PassThrough();
    let sent = '';
    channel.on('data', (chunk) => {
      sent += chunk;
    });
    const box = new ControlOutbox(new ChannelWriter(channel, windowBytes), credit);
    const flushed = async (bytes: number) => {
      box.writer.read(bytes);
      await new Promise((resolve) => setImmediate(resolve));
      return sent;
    };
    return { box, flushed };
  }

  it('sends in parts as the window allows, in order', async () => {
    const { box, flushed } = outbox(4);
    box.send(Buffer.from('abcdef'));
    box.send(Buffer.from('ghi'));
    expect(await flushed(0)).to.equal('abcd');
    expect(await flushed(3)).to.equal('abcdefg');
    expect(await flushed(100)).to.equal('abcdefghi');
  });

  it('takes back what has not begun, never what has', async () => {
    const { box, flushed } = outbox(4);
    const first = box.send(Buffer.from('abcdef'));
    const second = box.send(Buffer.from('XXX'));
    box.send(Buffer.from('ghi'));
    expect(box.withdraw(first)).to.equal(false);
    expect(box.withdraw(second)).to.equal(true);
    expect(box.withdraw(second)).to.equal(false);
    await flushed(4);
    expect(await flushed(4)).to.equal('abcdefghi');
  });

  it('gathers credits while there is no room, and sends them between two messages', async () => {
    const { box, flushed } = outbox(4);
    box.send(Buffer.from('abcdef'));
    box.send(Buffer.from('ghi'));
    box.grant(1, 10);
    box.grant(1, 20);
    box.grant(2, 5);
    await flushed(4);
    let all = '';
    for (let n = 0; n < 10; n += 1) all = await flushed(4);
    expect(all).to.equal('abcdef<1:30><2:5>ghi');
  });

  it('an aborted call that was not sent is not carried out, and the next is answered rightly', async () => {
    const { connect, calls } = await import('./connect.js');
    const { rejects } = await import('../../../support/rejects.js');
    for (const original of [true, false]) {
      const { fake, session } = await connect({ original }, { creditWindowBytes: 256 });
      const first = session.writeFile('/first', Buffer.alloc(5000, 1), calls());
      const abort = new AbortController();
      const gone = session.writeFile('/gone', Buffer.alloc(10), { signal: abort.signal });
      const after = session.writeFile('/after', Buffer.alloc(10), calls());
      abort.abort();
      await rejects(gone, 'ABORTED');
      await Promise.all([first, after]);
      await rejects(session.readFile('/gone', calls()), 'AGENT_REFUSED');
      expect([...fake.files.keys()]).to.deep.equal(['/first', '/after']);
      await session.close();
      fake.die();
    }
  });
});
