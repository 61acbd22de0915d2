import { expect } from 'chai';
import { COMMAND } from '../../../src/plugins/hyperstart/protocol.gen.js';
import { controlFrame, execPayload, HostAgent, json, type RawAgent, streamFrame } from '../../support/raw-agent.js';
import { canRunAgent } from './support.js';

/** As an original runv: the bytes of the original's transcript. */
describe('guest agent, base protocol', function () {
  this.timeout(60_000);
  let host: HostAgent;
  let agent: RawAgent;

  before(function () {
    canRunAgent(this);
  });
  beforeEach(async () => {
    host = new HostAgent();
    await host.start();
    agent = await host.connect();
    expect((await agent.control.take(8)).toString('hex')).to.equal('0000000800000008');
  });
  afterEach(() => host.stop());

  it('answers GETVERSION with NEXT for the header and 4244', async () => {
    agent.control.write(Buffer.from('0000000000000008', 'hex'));
    expect((await agent.control.take(24)).toString('hex')).to.equal('0000000e0000000c00000008000000090000000c00001094');
  });

  it('never looks at a payload of GETVERSION that is no hello', async () => {
    agent.control.write(controlFrame(COMMAND.GETVERSION, Buffer.from('{"other":1}')));
    expect((await agent.control.take(36)).toString('hex')).to.equal(
      '0000000e0000000c000000080000000e0000000c0000000b000000090000000c00001094',
    );
  });

  it('answers PING with NEXT and an empty ACK', async () => {
    agent.control.write(Buffer.from('0000000c00000008', 'hex'));
    expect((await agent.control.take(20)).toString('hex')).to.equal('0000000e0000000c000000080000000900000008');
  });

  it('counts a large body in pieces of 512, and all of it before the answer', async () => {
    const payload = execPayload('big', ['/bin/echo', 'x'.repeat(3000)], 1, 2);
    agent.send(COMMAND.EXECCMD, payload);
    let counted = 0;
    for (let message = await agent.next(); message.code !== COMMAND.ACK; message = await agent.next()) {
      expect(message.code).to.equal(COMMAND.NEXT);
      expect(message.payload.readUInt32BE(0)).to.be.at.most(512);
      counted += message.payload.readUInt32BE(0);
    }
    expect(counted).to.equal(8 + payload.length);
    expect((await agent.output(1)).toString()).to.equal(`${'x'.repeat(3000)}\n`);
  });

  it('runs a command: ACK, both streams, the end of stdout alone, then the event', async () => {
    expect(
      (await agent.call(COMMAND.EXECCMD, execPayload('e1', ['/bin/sh', '-c', 'echo out; echo err >&2; exit 7'], 3, 4)))
        .code,
    ).to.equal(COMMAND.ACK);
    const seen = [await agent.stream(), await agent.stream(), await agent.stream()].map(
      ({ sequence, payload }) => `${sequence}:${payload}`,
    );
    expect(seen).to.have.members(['3:out\n', '4:err\n', '3:']);
    expect((await agent.event()).payload.toString()).to.equal(
      '{"container":"hyperstart","process":"e1","event":"finished","status":7}',
    );
    expect(agent.streams.unread).to.equal(0);
  });

  it('passes stdin on in pieces of any size, and its end', async () => {
    await agent.call(COMMAND.EXECCMD, execPayload('e2', ['/bin/cat'], 5, 6));
    agent.input(5, Buffer.from('hello '));
    agent.input(5, Buffer.alloc(5000, 'x'));
    agent.input(5);
    expect((await agent.output(5)).toString()).to.equal(`hello ${'x'.repeat(5000)}`);
    expect((await agent.exit('e2')).status).to.equal(0);
  });

  it('tells a program that cannot start on stderr and by status 127, after an ACK', async () => {
    expect((await agent.call(COMMAND.EXECCMD, execPayload('e10', ['/nope'], 23, 24))).code).to.equal(COMMAND.ACK);
    expect(await agent.stream()).to.deep.equal({
      sequence: 24,
      payload: Buffer.from('exec failed: No such file or directory\n'),
    });
    expect((await agent.stream()).sequence).to.equal(23);
    expect((await agent.exit('e10')).status).to.equal(127);
  });

  it('refuses with an empty ERROR: unknown code, unknown key, a stream without sequence', async () => {
    for (const [code, payload] of [
      [99, Buffer.alloc(0)],
      [3, Buffer.alloc(0)],
      [COMMAND.GETNETWORK, Buffer.alloc(0)],
      [COMMAND.SETUPINTERFACE, json({ device: 'lo', bogus: 1 })],
      [COMMAND.EXECCMD, execPayload('x', ['/bin/true'], 1, 0)],
      [COMMAND.EXECCMD, Buffer.from('{"container":')],
    ] as const) {
      const answer = await agent.call(code, payload);
      expect(answer.code, `command ${code}`).to.equal(COMMAND.ERROR);
      expect(answer.payload).to.have.length(0);
    }
  });

  it('answers pipelined commands in order, also past one that waits', async () => {
    agent.send(COMMAND.SETUPINTERFACE, json({ device: 'eth9', timeoutMs: 400 }));
    agent.send(COMMAND.PING);
    agent.send(COMMAND.GETVERSION);
    expect((await agent.answer(0)).code).to.equal(COMMAND.ERROR);
    expect((await agent.answer(0)).payload).to.have.length(0);
    expect((await agent.answer(0)).payload.toString('hex')).to.equal('00001094');
  });

  it('serves streams while a command waits', async () => {
    await agent.call(COMMAND.EXECCMD, execPayload('cat', ['/bin/cat'], 1, 2));
    agent.send(COMMAND.SETUPINTERFACE, json({ device: 'eth9', timeoutMs: 60_000 }));
    agent.input(1, Buffer.from('meanwhile'));
    expect((await agent.stream()).payload.toString()).to.equal('meanwhile');
  });

  it('takes netMask as mask or length, "-" before an address as removal, and ACKs without a payload', async () => {
    const setup = async (...ipAddresses: object[]) =>
      (await agent.call(COMMAND.SETUPINTERFACE, json({ device: 'lo', newDeviceName: '', ipAddresses, mtu: 0 }))).code;
    expect(
      await setup({ ipAddress: '10.77.0.10', netMask: '255.255.255.0' }, { ipAddress: '10.78.0.1', netMask: '24' }),
    ).to.equal(COMMAND.ACK);
    expect(host.inside('ip', '-4', '-o', 'address')).to.match(/10\.77\.0\.10\/24 .*10\.78\.0\.1\/24/s);
    expect(await setup({ ipAddress: '-10.77.0.10', netMask: '255.255.255.0' })).to.equal(COMMAND.ACK);
    expect(host.inside('ip', '-4', '-o', 'address')).not.to.contain('10.77.0.10');
    expect(await setup({ ipAddress: '10.78.0.1', netMask: '24' })).to.equal(COMMAND.ERROR);
    expect(await setup({ ipAddress: '10.79.0.1', netMask: '255.0.255.0' })).to.equal(COMMAND.ERROR);
  });

  it('keeps its processes when the host comes again, and READY is not repeated', async () => {
    await agent.call(COMMAND.EXECCMD, execPayload('cat', ['/bin/cat'], 1, 2));
    agent.input(1, Buffer.from('one'));
    expect((await agent.stream()).payload.toString()).to.equal('one');
    agent.control.write(controlFrame(COMMAND.PING).subarray(0, 5));
    agent.streams.write(streamFrame(1, Buffer.from('half')).subarray(0, 11));
    agent.close();
    const again = await host.connect();
    expect((await again.call(COMMAND.PING)).code).to.equal(COMMAND.ACK);
    expect(again.events.every((event) => event.code === COMMAND.NEXT)).to.equal(true);
    again.input(1, Buffer.from('two'));
    again.input(1);
    expect((await again.output(1)).toString()).to.equal('two');
    expect((await again.exit('cat')).status).to.equal(0);
  });
});
