import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { expect } from 'chai';
import type { PortMapping } from '../../../../src/core/network.js';
import { SlirpForwards } from '../../../../src/host/rootless/forwards.js';
import { SessionFiles, type SessionRecord } from '../../../../src/host/rootless/record.js';
import { rejects } from '../../../support/rejects.js';
import { tempDirs } from '../../../support/temp-dir.js';

const identity = { pid: process.pid, startTime: 1, bootId: 'x' };
const record: SessionRecord = {
  id: 'session',
  version: 1,
  netns: 'net:[1]',
  holder: identity,
  slirp: identity,
  cidr: '10.233.77.0/24',
  mtu: 1500,
  hostLoopback: false,
  pinned: false,
  leaving: [],
};
const mapping: PortMapping = {
  protocol: 'tcp',
  hostAddress: '127.0.0.1',
  hostPort: 28_080,
  guestPort: 80,
  count: 2,
};

describe('SlirpForwards', () => {
  const directory = tempDirs();
  let server: Server | undefined;
  afterEach(() => void server?.close());

  /** A slirp4netns that listens nowhere, and refuses one port. */
  async function slirp(files: SessionFiles, refused?: number) {
    const entries: Record<string, unknown>[] = [];
    server = createServer({ allowHalfOpen: true }, async (socket) => {
      let text = '';
      socket.on('data', (chunk) => {
        text += chunk;
      });
      await once(socket, 'end');
      const { execute, arguments: given } = JSON.parse(text);
      const answer = () => {
        if (execute === 'list_hostfwd') return { entries };
        if (execute === 'remove_hostfwd') {
          entries.splice(
            entries.findIndex(({ id }) => id === given.id),
            1,
          );
          return { return: {} };
        }
        if (given.host_port === refused) return { error: { desc: 'slirp_add_hostfwd failed' } };
        entries.push({ id: entries.length + 1, ...given });
        return { return: { id: entries.length } };
      };
      socket.end(JSON.stringify(answer()));
    }).listen(files.apiSocket);
    await once(server, 'listening');
    return entries;
  }

  it('leads each port of a range to the same one of the namespace, and takes them away', async () => {
    const files = new SessionFiles(directory());
    const entries = await slirp(files);
    const forwards = new SlirpForwards(files, record);
    const call = { signal: AbortSignal.timeout(10_000) };
    await forwards.add([mapping], call);
    await forwards.add([mapping], call);
    expect(
      entries.map(({ host_addr, host_port, guest_addr, guest_port }) => [host_addr, host_port, guest_addr, guest_port]),
    ).to.deep.equal([
      ['127.0.0.1', 28_080, '10.233.77.100', 28_080],
      ['127.0.0.1', 28_081, '10.233.77.100', 28_081],
    ]);
    expect(files.forwards()).to.deep.equal([mapping]);
    const inside = forwards.inside(mapping);
    expect(inside.hostAddress).to.equal('0.0.0.0');
    expect(forwards.outside(inside)).to.deep.equal(mapping);
    await forwards.remove([mapping], call);
    await forwards.remove([mapping], call);
    expect(entries).to.deep.equal([]);
    expect(files.forwards()).to.deep.equal([]);
  });

  it('undoes what it made of a range of which a port is refused', async () => {
    const files = new SessionFiles(directory());
    const entries = await slirp(files, 28_081);
    const add = new SlirpForwards(files, record).add([mapping], { signal: AbortSignal.timeout(10_000) });
    await rejects(add, 'NET_SPEC_INVALID', 'hostAddress');
    expect(entries).to.deep.equal([]);
    expect(files.forwards()).to.deep.equal([]);
  });

  it('has a port once, whatever the address: in the namespace all come to one', async () => {
    const files = new SessionFiles(directory());
    await slirp(files);
    const forwards = new SlirpForwards(files, record);
    await forwards.add([mapping], { signal: AbortSignal.timeout(10_000) });
    forwards.check(mapping);
    const other = { ...mapping, hostAddress: '127.0.0.2', hostPort: 28_081 };
    expect(() => forwards.check(other)).to.throw('port 28081/tcp is published already, on 127.0.0.1');
    forwards.check({ ...other, hostPort: 28_082 });
  });

  it('forwards no IPv6 and no sctp', () => {
    const forwards = new SlirpForwards(new SessionFiles(directory()), record);
    expect(() => forwards.check({ ...mapping, hostAddress: '::' })).to.throw(/IPv4/);
    expect(() => forwards.check({ ...mapping, protocol: 'sctp' })).to.throw(/tcp or udp/);
    const datagrams = { ...mapping, protocol: 'udp', hostAddress: '127.0.0.1' } as const;
    expect(() => forwards.check(datagrams)).to.throw(/rootless\.hostLoopback/);
    const open = new SlirpForwards(new SessionFiles(directory()), { ...record, hostLoopback: true });
    expect(() => open.check(datagrams)).to.not.throw();
    expect(forwards.inside(datagrams).hostAddress, 'what was refused can be taken away').to.equal('0.0.0.0');
    expect(forwards.nameServers).to.deep.equal(['10.233.77.3']);
    expect(forwards.mtu).to.equal(record.mtu);
  });
});
