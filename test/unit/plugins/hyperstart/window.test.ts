import { randomBytes } from 'node:crypto';
import { expect } from 'chai';
import { calls, command, connect, outcome } from './connect.js';

describe('hyperstart session on a weak channel', () => {
  for (const windowBytes of [128, 2048]) {
    it(`never has more than ${windowBytes} bytes unread on either channel, and all arrives`, async () => {
      const { fake, session } = await connect({}, { creditWindowBytes: windowBytes });
      const content = randomBytes(20_000);
      const sent = randomBytes(20_000).toString('hex');
      const [process, other] = await Promise.all([
        session.exec(command('cat'), calls()),
        session.exec(command('cat'), calls()),
        session.writeFile('/f', content, calls()),
      ]);
      process.stdin.end(sent);
      other.stdin.end(sent);
      for (const run of [process, other]) expect((await outcome(run)).stdout === sent).to.equal(true);
      expect((await session.readFile('/f', calls())).equals(content)).to.equal(true);
      expect(fake.windowBytes).to.equal(windowBytes);
      for (const unread of fake.mostUnread) expect(unread).to.be.within(1, windowBytes);
      await session.close();
      fake.die();
    });
  }

  it('keeps to the window with an original too, whose control channel has 512 bytes anyway', async () => {
    const { fake, session } = await connect({ original: true }, { creditWindowBytes: 256 });
    let most = 0;
    fake.streams.on('data', (chunk: Buffer) => {
      most = Math.max(most, chunk.length);
    });
    const process = await session.exec(command('cat'), calls());
    const sent = randomBytes(2000).toString('hex');
    process.stdin.end(sent);
    expect((await outcome(process)).stdout === sent).to.equal(true);
    expect(most).to.be.within(1, 256);
    await session.close();
    fake.die();
  });
});

describe('hyperstart session with an original, flow of the control channel', () => {
  it('sends no more than 512 bytes that NEXT has not covered', async () => {
    const { fake, session } = await connect({ original: true });
    let largest = 0;
    fake.control.on('data', (chunk: Buffer) => {
      largest = Math.max(largest, chunk.length);
    });
    await session.writeFile('/f', randomBytes(5000), calls());
    expect(largest).to.be.within(1, 512);
    expect(fake.files.get('/f')?.length).to.equal(5000);
    await session.close();
    fake.die();
  });

  it('reads no more from the streams channel while readers leave a megabyte', async () => {
    const { fake, session } = await connect({ original: true });
    const process = await session.exec(command('zeros', String(8 * 1024 * 1024)), calls());
    await new Promise((resolve) => setTimeout(resolve, 100));
    const { heldBytes } = process.stdout as unknown as { heldBytes: number };
    expect(heldBytes).to.be.within(1024 * 1024, 1024 * 1024 + 128 * 1024);
    let bytes = 0;
    for await (const chunk of process.stdout) bytes += (chunk as Buffer).length;
    expect(bytes).to.equal(8 * 1024 * 1024);
    await process.exited;
    await session.close();
    fake.die();
  });
});
