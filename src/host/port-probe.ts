import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';

export type PortState = 'free' | 'in-use' | 'forbidden' | 'no-such-address';

const STATES: Readonly<Record<string, PortState>> = {
  EADDRINUSE: 'in-use',
  EACCES: 'forbidden',
  EPERM: 'forbidden',
  EADDRNOTAVAIL: 'no-such-address',
};

/**
 * Tries to take a port and gives it back. The answer is of that moment: another program may come in between.
 * @throws any other system error.
 */
export function probePort(protocol: 'tcp' | 'udp', address: string, port: number): Promise<PortState> {
  return new Promise((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException) => {
      const state = STATES[error.code ?? ''];
      if (state) resolve(state);
      else reject(error);
    };
    if (protocol === 'tcp') {
      const server = createServer();
      server.once('error', failed);
      server.listen({ host: address, port, exclusive: true, ipv6Only: address.includes(':') }, () => {
        server.close(() => resolve('free'));
      });
      return;
    }
    const ipv6 = address.includes(':');
    const socket = createSocket({ type: ipv6 ? 'udp6' : 'udp4', ipv6Only: ipv6 });
    socket.once('error', (error) => {
      socket.close();
      failed(error as NodeJS.ErrnoException);
    });
    socket.bind({ address, port, exclusive: true }, () => socket.close(() => resolve('free')));
  });
}
