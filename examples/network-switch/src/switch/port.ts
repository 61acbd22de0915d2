import { rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';

/** The largest frame: an MTU of 9000, its header and tags, with room to spare. */
const MAX_FRAME_BYTES = 16_384;
/** What a VM that does not read may keep us holding; a switch drops what finds no room. */
const MAX_QUEUED_BYTES = 1 << 20;
const LENGTH_BYTES = 4;

/** One plug of the switch: a socket that one VM connects to, each frame after its length (u32, big-endian). */
export class Port {
  readonly #server: Server;
  #vm: Socket | undefined;

  private constructor(
    readonly path: string,
    readonly onFrame: (frame: Buffer, port: Port) => void,
  ) {
    this.#server = createServer((socket) => this.#accept(socket));
  }

  static async open(path: string, onFrame: (frame: Buffer, port: Port) => void): Promise<Port> {
    const port = new Port(path, onFrame);
    await new Promise<void>((resolve, reject) => {
      port.#server.once('error', reject);
      port.#server.listen(path, resolve);
    });
    return port;
  }

  #accept(socket: Socket): void {
    socket.on('error', () => {});
    if (this.#vm) {
      socket.destroy();
      return;
    }
    this.#vm = socket;
    socket.once('close', () => {
      this.#vm = undefined;
    });
    let held: Buffer = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => {
      held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
      while (held.length >= LENGTH_BYTES) {
        const length = held.readUInt32BE(0);
        if (length > MAX_FRAME_BYTES) {
          socket.destroy();
          return;
        }
        if (held.length < LENGTH_BYTES + length) return;
        this.onFrame(held.subarray(LENGTH_BYTES, LENGTH_BYTES + length), this);
        held = held.subarray(LENGTH_BYTES + length);
      }
    });
  }

  send(frame: Buffer): void {
    if (!this.#vm || this.#vm.writableLength > MAX_QUEUED_BYTES) return;
    const length = Buffer.alloc(LENGTH_BYTES);
    length.writeUInt32BE(frame.length);
    this.#vm.write(Buffer.concat([length, frame]));
  }

  close(): void {
    this.#server.close();
    this.#vm?.destroy();
    rmSync(this.path, { force: true });
  }
}
