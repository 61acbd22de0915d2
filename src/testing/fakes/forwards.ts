import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { createServer, isIPv6, type Server, type Socket } from 'node:net';
import { HyperplugError } from '../../core/errors.js';
import type { PortForward } from '../../core/hypervisor.js';

export type ForwardTarget = (connection: Socket, forward: PortForward) => void;

/**
 * A forward that really holds its port of the host, so that a port in use is in use. It does not keep the program
 * running: a fake that was forgotten shall not hang a test run.
 */
export interface OpenForward {
  readonly forward: PortForward;
  close(): Promise<void>;
}

/** @throws NET_PORT_IN_USE. */
export async function openForward(forward: PortForward, onConnection: ForwardTarget): Promise<OpenForward> {
  try {
    return forward.protocol === 'tcp' ? await openTcp(forward, onConnection) : await openUdp(forward);
  } catch (cause) {
    const where = `${forward.hostAddress}:${forward.hostPort}/${forward.protocol}`;
    throw new HyperplugError('NET_PORT_IN_USE', `host port ${where} is in use`, { cause, details: { forward } });
  }
}

async function openTcp(forward: PortForward, onConnection: ForwardTarget): Promise<OpenForward> {
  const connections = new Set<Socket>();
  const server: Server = createServer((connection) => {
    connections.add(connection);
    connection.on('close', () => connections.delete(connection)).on('error', () => {});
    onConnection(connection, forward);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port: forward.hostPort, host: forward.hostAddress, exclusive: true }, resolve);
  });
  server.unref();
  return {
    forward,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const connection of connections) connection.destroy();
      }),
  };
}

async function openUdp(forward: PortForward): Promise<OpenForward> {
  const socket: UdpSocket = createSocket(isIPv6(forward.hostAddress) ? 'udp6' : 'udp4');
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject);
    socket.bind({ port: forward.hostPort, address: forward.hostAddress, exclusive: true }, resolve);
  });
  socket.unref();
  return { forward, close: () => new Promise((resolve) => socket.close(() => resolve())) };
}

export const sameForward = (a: PortForward, b: PortForward) =>
  a.protocol === b.protocol && a.hostAddress === b.hostAddress && a.hostPort === b.hostPort;
