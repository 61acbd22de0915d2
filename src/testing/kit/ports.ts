import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

export interface HeldPort {
  readonly port: number;
  close(): Promise<void>;
}

/** Below the range from which Linux takes ports for outgoing connections (ip_local_port_range). */
const FIRST_PORT = 15_000;
const LAST_PORT = 32_000;

/** A TCP port of the loopback that this process listens on; without a number, one that nobody takes by accident. */
export async function holdPort(wanted?: number): Promise<HeldPort> {
  for (let attempts = 0; ; attempts++) {
    const port = wanted ?? randomInt(FIRST_PORT, LAST_PORT);
    const server = createServer((connection) => connection.destroy());
    try {
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen({ port, host: '127.0.0.1', exclusive: true }, resolve);
      });
    } catch (error) {
      if (wanted !== undefined || attempts > 50) throw error;
      continue;
    }
    return { port, close: () => new Promise((resolve) => server.close(() => resolve())) };
  }
}

/** A TCP port of the loopback that was free a moment ago. */
export async function freePort(host: PortHost = { hold: holdPort }): Promise<number> {
  const held = await host.hold();
  await held.close();
  return held.port;
}

/** Whether somebody listens there. */
export async function portTaken(port: number, host: PortHost = { hold: holdPort }): Promise<boolean> {
  try {
    await (await host.hold(port)).close();
    return false;
  } catch {
    return true;
  }
}

/** How ports are held where the backend under test sees it. */
export interface PortHost {
  hold(port?: number): Promise<HeldPort>;
}
