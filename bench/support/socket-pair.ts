import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';

/** Two ends of a unix socket, both in this process. */
export async function socketPair(directory: string): Promise<[Socket, Socket]> {
  const path = join(directory, 'pair.sock');
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const [[accepted], connected] = await Promise.all([
    once(server, 'connection') as Promise<[Socket]>,
    new Promise<Socket>((resolve, reject) => {
      const socket = connect(path, () => resolve(socket)).once('error', reject);
    }),
  ]);
  server.close();
  return [connected, accepted];
}
