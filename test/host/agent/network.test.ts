import { expect } from 'chai';
import { COMMAND } from '../../../src/plugins/hyperstart/protocol.gen.js';
import { HostAgent, json, type RawAgent } from '../../support/raw-agent.js';
import { canRunAgent } from './support.js';

const MAC = '52:54:00:aa:00:01';

/** In a network namespace with a veth pair; what the agent says is compared with what iproute2 says. */
describe('guest agent, extension: network', function () {
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
    await agent.hello();
  });
  afterEach(() => host.stop());

  const plug = (name = 'veth0', mac = MAC) => {
    host.inside('ip', 'link', 'add', name, 'address', mac, 'type', 'veth', 'peer', 'name', `${name}p`);
    host.inside('ip', 'link', 'set', `${name}p`, 'up');
  };
  const setup = (more: object = {}) => agent.ack(COMMAND.SETUPINTERFACE, { mac: MAC, ...more });
  const refuse = (more: object = {}) => agent.refusal(COMMAND.SETUPINTERFACE, { mac: MAC, ...more });
  // biome-ignore lint/suspicious/noExplicitAny: the JSON of ip
  const ip = (...args: string[]): any[] => JSON.parse(host.inside('ip', '-j', ...args) || '[]');
  const addresses = (name: string) =>
    ip('address', 'show', 'dev', name)[0]
      .addr_info.filter((a: { scope: string }) => a.scope === 'global')
      .map((a: { local: string; prefixlen: number }) => `${a.local}/${a.prefixlen}`)
      .sort();
  const routes = () =>
    [...ip('route'), ...ip('-6', 'route')]
      .filter((r) => r.protocol !== 'kernel')
      .map((r) => `${r.dst} via ${r.gateway} dev ${r.dev} metric ${r.metric ?? 0}`)
      .sort();

  it('configures a NIC found by MAC: name, MTU, several addresses of both families, up', async () => {
    plug();
    const link = await setup({
      newDeviceName: 'net0',
      mtu: 1400,
      ipAddresses: [
        { ipAddress: '10.1.0.2', prefix: 24 },
        { ipAddress: '10.2.0.2', prefix: 16 },
        { ipAddress: 'fd00:1::2', prefix: 64 },
      ],
    });
    expect(link).to.include({ name: 'net0', mac: MAC, mtu: 1400, up: true });
    expect(link.addresses).to.deep.include({ address: 'fd00:1::2', prefix: 64, family: 6 });
    expect(addresses('net0')).to.deep.equal(['10.1.0.2/24', '10.2.0.2/16', 'fd00:1::2/64']);
    const [seen] = ip('link', 'show', 'dev', 'net0');
    expect(seen).to.include({ mtu: 1400, ifindex: link.index });
    expect(seen.flags).to.include('UP');
    const tentative = ip('-6', 'address', 'show', 'dev', 'net0', 'scope', 'global')[0].addr_info[0].tentative;
    expect(tentative, 'usable at once').to.equal(undefined);
  });

  it('waits for a NIC by events, while everything else goes on', async () => {
    const ipAddresses = [{ ipAddress: '10.1.0.2', prefix: 24 }];
    const waiting = agent.send(COMMAND.SETUPINTERFACE, json({ mac: MAC, ipAddresses, timeoutMs: 600_000 }));
    expect((await agent.call(COMMAND.PING, Buffer.from('meanwhile'))).payload.toString()).to.equal('meanwhile');
    // After the one look that it takes again by itself: from here on only an event can tell it.
    await new Promise((resolve) => setTimeout(resolve, 1000));
    plug('other0', '52:54:00:aa:00:02');
    plug();
    const answer = await agent.answer(waiting);
    expect(answer.code).to.equal(COMMAND.ACK);
    expect(JSON.parse(answer.payload.toString())).to.include({ name: 'veth0', mac: MAC });
  });

  it('gives up on a NIC that does not come: TIMEOUT, and the wait leaves nothing', async () => {
    expect(await refuse({ timeoutMs: 200 })).to.include({ code: 'TIMEOUT', field: 'mac' });
    plug();
    await agent.call(COMMAND.PING);
    expect(ip('link', 'show', 'dev', 'veth0')[0].flags).not.to.include('UP');
  });

  it('waits no more for a NIC that is taken away before it came', async () => {
    const ipAddresses = [{ ipAddress: '10.1.0.2', prefix: 24 }];
    const [first, other] = [MAC, '52:54:00:aa:00:02'].map((mac) =>
      agent.send(COMMAND.SETUPINTERFACE, json({ mac, ipAddresses, timeoutMs: 60_000 })),
    ) as [number, number];
    expect(await agent.refusal(COMMAND.DELETEINTERFACE, { mac: MAC.toUpperCase() })).to.include({ code: 'NOT_FOUND' });
    const answer = await agent.answer(first);
    expect(answer.code).to.equal(COMMAND.ERROR);
    expect(JSON.parse(answer.payload.toString())).to.include({ code: 'NOT_FOUND', field: 'mac' });
    plug();
    plug('other0', '52:54:00:aa:00:02');
    expect((await agent.answer(other)).code).to.equal(COMMAND.ACK);
    expect(addresses('veth0')).to.deep.equal([]);
    expect(addresses('other0')).to.deep.equal(['10.1.0.2/24']);
  });

  it('tells the right one of two NICs', async () => {
    plug('b0', '52:54:00:aa:00:02');
    plug('a0', MAC);
    await setup({ ipAddresses: [{ ipAddress: '10.1.0.2', prefix: 24 }] });
    expect(addresses('a0')).to.deep.equal(['10.1.0.2/24']);
    expect(addresses('b0')).to.deep.equal([]);
  });

  it('changes the MTU of a live NIC without losing routes or taking it down', async () => {
    plug();
    await setup({
      ipAddresses: [
        { ipAddress: '10.1.0.2', prefix: 24 },
        { ipAddress: 'fd00:1::2', prefix: 64 },
      ],
    });
    await agent.ack(COMMAND.SETUPROUTE, {
      routes: [
        { dest: 'default', gateway: '10.1.0.1', mac: MAC },
        { dest: 'default', gateway: 'fd00:1::1', device: 'veth0' },
      ],
    });
    const before = routes();
    expect(before).to.have.length(2);
    await setup({ mtu: 1300 });
    await setup({ newDeviceName: '', mtu: 1350 });
    expect(routes()).to.deep.equal(before);
    expect(ip('link', 'show', 'dev', 'veth0')[0].mtu).to.equal(1350);
  });

  it('renames a NIC that is up, keeping addresses and routes of both families', async () => {
    plug();
    await setup({
      ipAddresses: [
        { ipAddress: '10.1.0.2', prefix: 24 },
        { ipAddress: 'fd00:1::2', prefix: 64 },
      ],
    });
    await agent.ack(COMMAND.SETUPROUTE, {
      routes: [
        { dest: '10.9.0.0/16', gateway: '10.1.0.1', mac: MAC, metric: 7 },
        { dest: 'fd00:9::/48', gateway: 'fd00:1::1', mac: MAC },
      ],
    });
    const before = routes().map((route) => route.replace('veth0', 'net7'));
    expect(await setup({ newDeviceName: 'net7' })).to.include({ name: 'net7', up: true });
    expect(addresses('net7')).to.deep.equal(['10.1.0.2/24', 'fd00:1::2/64']);
    expect(routes()).to.deep.equal(before);
  });

  it('really removes addresses, a primary one without its secondaries', async () => {
    plug();
    const all = ['10.1.0.2', '10.1.0.3', '10.1.0.4'].map((ipAddress) => ({ ipAddress, prefix: 24 }));
    await setup({ ipAddresses: all });
    const link = await setup({ removeAddresses: [all[0]!] });
    expect(addresses('veth0')).to.deep.equal(['10.1.0.3/24', '10.1.0.4/24']);
    expect(link.addresses.filter((a: { family: number }) => a.family === 4)).to.have.length(2);
    expect(await refuse({ removeAddresses: [all[0]!] })).to.include({ code: 'KERNEL', errno: 99 });
  });

  it("reports the kernel's refusals, in its words", async () => {
    plug();
    const address = { ipAddress: '10.1.0.2', prefix: 24 };
    await setup({ ipAddresses: [address] });
    expect(await refuse({ ipAddresses: [address] })).to.include({ code: 'KERNEL', errno: 17 });
    const mtu = await refuse({ mtu: 70_000 });
    expect(mtu).to.include({ code: 'KERNEL', errno: 22 });
    expect(mtu.reason).to.match(/mtu greater than device maximum/i);
    const far = await agent.refusal(COMMAND.SETUPROUTE, {
      routes: [{ dest: '192.168.5.0/24', gateway: '172.31.0.1' }],
    });
    expect(far).to.include({ code: 'KERNEL', errno: 101 });
    const route = { dest: '10.9.0.0/16', gateway: '10.1.0.1' };
    await agent.ack(COMMAND.SETUPROUTE, { routes: [route] });
    expect(await agent.refusal(COMMAND.SETUPROUTE, { routes: [route] })).to.include({ code: 'KERNEL', errno: 17 });
    expect(await agent.refusal(COMMAND.DELETEROUTE, { routes: [{ dest: '10.8.0.0/16' }] })).to.include({
      code: 'KERNEL',
      errno: 3,
    });
  });

  it('does all or nothing: a refused address undoes name, MTU, addresses and the link up', async () => {
    plug();
    plug('other0', '52:54:00:aa:00:02');
    host.inside('ip', 'address', 'add', '10.5.0.1/24', 'dev', 'veth0');
    const reason = await refuse({
      newDeviceName: 'net0',
      mtu: 1400,
      removeAddresses: [{ ipAddress: '10.5.0.1', prefix: 24 }],
      ipAddresses: [
        { ipAddress: '10.1.0.2', prefix: 24 },
        { ipAddress: '10.1.0.2', prefix: 24 },
      ],
    });
    expect(reason).to.include({ code: 'KERNEL', errno: 17 });
    const [link] = ip('link', 'show', 'dev', 'veth0');
    expect(link.mtu).to.equal(1500);
    expect(link.flags).not.to.include('UP');
    expect(addresses('veth0')).to.deep.equal(['10.5.0.1/24']);
    expect(await refuse({ newDeviceName: 'other0' })).to.include({ code: 'KERNEL', errno: 17 });
  });

  it('adds routes all or none, and removes them', async () => {
    plug();
    await setup({ ipAddresses: [{ ipAddress: '10.1.0.2', prefix: 24 }] });
    const good = [
      { dest: '10.8.0.0/16', gateway: '10.1.0.1', mac: MAC },
      { dest: '10.9.0.0/16', device: 'veth0', metric: 5 },
    ];
    await agent.refusal(COMMAND.SETUPROUTE, { routes: [...good, { dest: '10.7.0.0/16', gateway: '172.31.0.1' }] });
    expect(routes()).to.deep.equal([]);
    await agent.ack(COMMAND.SETUPROUTE, { routes: good });
    expect(routes()).to.have.length(2);
    await agent.ack(COMMAND.DELETEROUTE, { routes: good });
    expect(routes()).to.deep.equal([]);
  });

  it('reads the network back as ip does', async () => {
    plug();
    await setup({
      ipAddresses: [
        { ipAddress: '10.1.0.2', prefix: 24 },
        { ipAddress: 'fd00:1::2', prefix: 64 },
      ],
    });
    await agent.ack(COMMAND.SETUPROUTE, { routes: [{ dest: 'default', gateway: '10.1.0.1', mac: MAC, metric: 50 }] });
    const network = await agent.ack(COMMAND.GETNETWORK);
    const names = ip('link')
      .map((link) => link.ifname)
      .sort();
    expect(network.links.map((link: { name: string }) => link.name).sort()).to.deep.equal(names);
    const link = network.links.find((one: { mac: string }) => one.mac === MAC);
    expect(link.addresses).to.deep.include({ address: '10.1.0.2', prefix: 24, family: 4 });
    expect(network.routes).to.deep.include({ dest: 'default', gateway: '10.1.0.1', device: 'veth0', metric: 50 });
    expect(network.routes).to.deep.include({ dest: '10.1.0.0/24', device: 'veth0', metric: 0 });
  });

  it('deletes an interface: link down, addresses and routes gone; NOT_FOUND without it', async () => {
    plug();
    await setup({
      ipAddresses: [
        { ipAddress: '10.1.0.2', prefix: 24 },
        { ipAddress: 'fd00:1::2', prefix: 64 },
      ],
    });
    await agent.ack(COMMAND.SETUPROUTE, { routes: [{ dest: 'default', gateway: '10.1.0.1', mac: MAC }] });
    await agent.ack(COMMAND.DELETEINTERFACE, { mac: MAC });
    expect(ip('link', 'show', 'dev', 'veth0')[0].flags).not.to.include('UP');
    expect(addresses('veth0')).to.deep.equal([]);
    expect(routes()).to.deep.equal([]);
    await agent.ack(COMMAND.DELETEINTERFACE, { mac: MAC });
    host.inside('ip', 'link', 'delete', 'veth0');
    expect(await agent.refusal(COMMAND.DELETEINTERFACE, { mac: MAC })).to.include({ code: 'NOT_FOUND', field: 'mac' });
  });

  it('refuses malformed requests before anything is changed', async () => {
    plug();
    const cases: [object, string][] = [
      [{ mac: '52:54:00:aa:00' }, 'mac'],
      [{ mac: undefined }, 'mac'],
      [{ newDeviceName: 'a-name-that-is-too-long' }, 'newDeviceName'],
      [{ newDeviceName: '../x' }, 'newDeviceName'],
      [{ ipAddresses: [{ ipAddress: '10.1.0.2', prefix: 33 }] }, 'prefix'],
      [{ ipAddresses: [{ ipAddress: '10.1.0', prefix: 24 }] }, 'ipAddress'],
      [{ ipAddresses: [{ ipAddress: '10.1.0.2' }] }, 'prefix'],
      [{ mtu: -1 }, 'mtu'],
      [{ mtu: '1500' }, 'mtu'],
      [{ colour: 'red' }, 'colour'],
    ];
    for (const [more, field] of cases)
      expect(await refuse(more), JSON.stringify(more)).to.include({ code: 'INVALID', field });
    const mixed = await agent.refusal(COMMAND.SETUPROUTE, { routes: [{ dest: 'fd00::/8', gateway: '10.1.0.1' }] });
    expect(mixed).to.include({ code: 'INVALID', field: 'gateway' });
  });
});
