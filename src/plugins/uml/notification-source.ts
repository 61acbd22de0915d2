import { unlink } from 'node:fs/promises';
import { type DatagramOwner, UnixDatagramSocket } from '../../host/unix-datagram.js';
import { decodeNotification, MAX_DATAGRAM_BYTES, type Notification } from './mconsole-codec.js';

/** UML's notifications, for one listener at a time. */
export class NotificationSource {
  /** UML tells that its management console is there. */
  readonly up: Promise<void>;
  #tellUp: () => void = () => {};
  #listener: ((notification: Notification) => void) | undefined;
  readonly #early: Notification[] = [];
  #socket: UnixDatagramSocket | undefined;

  private constructor() {
    this.up = new Promise((resolve) => {
      this.#tellUp = resolve;
    });
  }

  /** Takes the place of whoever listened there before. */
  static async open(path: string, owner: DatagramOwner | undefined): Promise<NotificationSource> {
    await unlink(path).catch(() => {});
    const source = new NotificationSource();
    const options = { maxBytes: MAX_DATAGRAM_BYTES, owner };
    source.#socket = await UnixDatagramSocket.bind(path, options, (bytes) => source.#receive(bytes));
    return source;
  }

  /** By a socket that is there. */
  static given(path: string, fd: number): NotificationSource {
    const source = new NotificationSource();
    source.#socket = UnixDatagramSocket.given(path, fd, MAX_DATAGRAM_BYTES, (bytes) => source.#receive(bytes));
    return source;
  }

  #receive(bytes: Buffer): void {
    const notification = decodeNotification(bytes);
    if (!notification) return;
    if (notification.type === 'socket') this.#tellUp();
    if (this.#listener) this.#listener(notification);
    else this.#early.push(notification);
  }

  listen(listener: (notification: Notification) => void): void {
    this.#listener = listener;
    for (const each of this.#early.splice(0)) listener(each);
  }

  close(): void {
    this.#socket?.close();
  }
}
