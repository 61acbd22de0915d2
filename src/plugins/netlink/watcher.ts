import { closeSync, readSync } from 'node:fs';
import koffi from 'koffi';
import { NETLINK_NETFILTER, openNetlink } from '../../host/netlink/socket.js';

type PollHandle = ReturnType<typeof koffi.node.poll>;

/** linux/rtnetlink.h: RTNLGRP_*. */
const LINK_AND_ADDRESSES = [1, 5, 9];
/** linux/netfilter/nfnetlink.h: NFNLGRP_NFTABLES; the rules of iptables-legacy announce nothing. */
const RULES = [7];
/** Changes come in flocks, our own ones among them. */
const SETTLE_MS = 250;
const RETRY_MS = 5_000;
const BUFFER_BYTES = 64 * 1024;

/**
 * Calls back when links, addresses or rules of a namespace have changed. What changed is not told: messages get lost when
 * many come (ENOBUFS), so that a look at the whole is needed anyway. Holds no thread (uv_poll).
 */
export class Watcher {
  readonly #sockets: { readonly fd: number; readonly poll: PollHandle }[] = [];
  readonly #buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #again = false;
  #failed = false;
  #closed = false;

  constructor(
    netnsPath: string | undefined,
    private readonly onChange: () => Promise<void>,
    /** Told of each failure; the callback is tried again a little later. */
    private readonly onError: (error: unknown) => void,
  ) {
    this.#watch(openNetlink(netnsPath, LINK_AND_ADDRESSES));
    this.#watch(openNetlink(netnsPath, RULES, NETLINK_NETFILTER));
  }

  /** After what a change has set off. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    for (const { fd, poll } of this.#sockets) {
      poll.stop();
      poll.close();
      closeSync(fd);
    }
    await this.#running;
  }

  #watch(fd: number): void {
    const onReadable = () => {
      this.#drain(fd);
      // After an error (ENOBUFS among them) libuv has stopped.
      if (!this.#closed) poll.start({ readable: true }, onReadable);
      this.#schedule();
    };
    const poll = koffi.node.poll(fd, { readable: true }, onReadable);
    // A watch alone keeps no process alive.
    poll.unref();
    this.#sockets.push({ fd, poll });
  }

  /** EAGAIN: all read. ENOBUFS: some are lost; reading goes on behind them. */
  #drain(fd: number): void {
    for (;;) {
      try {
        if (readSync(fd, this.#buffer, 0, BUFFER_BYTES, null) <= 0) return;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOBUFS') return;
      }
    }
  }

  #schedule(afterMs = SETTLE_MS): void {
    if (this.#closed) return;
    if (this.#running) {
      this.#again = true;
      return;
    }
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#running = this.#report();
    }, afterMs);
    // Nor does what is to be tried again.
    this.#timer.unref();
  }

  async #report(): Promise<void> {
    this.#again = false;
    try {
      await this.onChange();
    } catch (error) {
      this.onError(error);
      this.#failed = true;
    } finally {
      this.#running = undefined;
      if (this.#again) this.#schedule();
      else if (this.#failed) this.#schedule(RETRY_MS);
      this.#failed = false;
    }
  }
}
