import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { sendWithFds } from '../../src/host/send-fds.js';

interface Message {
  readonly return?: unknown;
  readonly error?: { readonly desc: string };
  readonly event?: string;
  readonly data?: { readonly device?: string };
}

/** QMP as a script speaks it: a line out, the next answer back; one command at a time. */
export class BareQmp {
  #waiting: ((message: Message) => void) | undefined;
  #events: ((message: Message) => void) | undefined;

  private constructor(readonly socket: Socket) {
    createInterface({ input: socket }).on('line', (line) => {
      const message = JSON.parse(line) as Message;
      if (message.event) this.#events?.(message);
      else if ('return' in message || message.error) this.#waiting?.(message);
    });
  }

  static async connect(path: string, signal: AbortSignal): Promise<BareQmp> {
    const socket = await connected(path, signal);
    const qmp = new BareQmp(socket);
    await qmp.execute('qmp_capabilities');
    return qmp;
  }

  async execute(command: string, args: object = {}, fds: readonly number[] = []): Promise<unknown> {
    const answered = new Promise<Message>((resolve) => {
      this.#waiting = resolve;
    });
    const line = `${JSON.stringify({ execute: command, arguments: args })}\n`;
    if (fds.length === 0) this.socket.write(line);
    else await sendWithFds(this.socket, Buffer.from(line), fds, '\n', { signal: AbortSignal.timeout(10_000) });
    const { error, return: value } = await answered;
    if (error) throw new Error(`${command}: ${error.desc}`);
    return value;
  }

  /** Asks the guest for a device, and waits until it is gone. */
  async removeDevice(id: string): Promise<void> {
    const gone = new Promise<void>((resolve) => {
      this.#events = ({ event, data }) => {
        if (event === 'DEVICE_DELETED' && data?.device === id) resolve();
      };
    });
    await this.execute('device_del', { id });
    await gone;
  }

  close(): void {
    this.socket.destroy();
  }
}

/** As soon as somebody listens. */
export async function connected(path: string, signal: AbortSignal): Promise<Socket> {
  for (;;) {
    signal.throwIfAborted();
    const socket = connect(path);
    try {
      await once(socket, 'connect');
      return socket;
    } catch {
      await delay(10);
    }
  }
}
