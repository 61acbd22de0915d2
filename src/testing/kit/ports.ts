import { createServer } from 'node:net';

export interface HeldPort {
  readonly port: number;
  close(): Promise<void>;
}

/** A TCP port of the loopback that this process listens on. */
export async function holdPort(port = 0): Promise<HeldPort> {
  const server = createServer((connection) => connection.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, host: '127.0.0.1', exclusive: true }, resolve);
  });
  const address = server.address();
  const held = typeof address === 'object' && address ? address.port : 0;
  return { port: held, close: () => new Promise((resolve) => server.close(() => resolve())) };
}

/** A TCP port of the loopback that was free a moment ago. */
export async function freePort(): Promise<number> {
  const held = await holdPort();
  await held.close();
  return held.port;
}

/** Whether somebody listens there. */
export async function portTaken(port: number): Promise<boolean> {
  try {
    await (await holdPort(port)).close();
    return false;
  } catch {
    return true;
  }
}
