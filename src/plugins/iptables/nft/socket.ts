import { closeSync, readSync, write, writeSync } from 'node:fs';
import { HyperplugError } from '../../../core/errors.js';
import { kernelError } from '../../../host/netlink/errno.js';
import { KernelPace } from '../../../host/netlink/pace.js';
import { NETLINK_NETFILTER, openNetlink, setBufferBytes } from '../../../host/netlink/socket.js';
import { AttributeWriter, attributeOf } from './attributes.js';
import { type NftRule, ruleOf } from './rules.js';

/** linux/netlink.h, linux/netfilter/nfnetlink.h, nf_tables.h. */
const NLM_F = { REQUEST: 1, ACK: 4, ECHO: 8, DUMP: 0x300, CREATE: 0x400, APPEND: 0x800, DUMP_INTR: 0x10 } as const;
const NLMSG = { ERROR: 2, DONE: 3 } as const;
const BATCH = { BEGIN: 0x10, END: 0x11, GENID: 1 } as const;
const NFTABLES = 10;
const message = (number: number): number => (NFTABLES << 8) | number;
const NFT_MSG = {
  NEWRULE: message(6),
  GETRULE: message(7),
  DELRULE: message(8),
  NEWGEN: message(15),
  GETGEN: message(16),
};
const FAMILY = { 4: 2, 6: 10 } as const;
const RULE = { TABLE: 1, CHAIN: 2, HANDLE: 3 } as const;
const GEN_ID = 1;
/** Three thousand rules, sent at once and echoed. */
const BUFFER_BYTES = 64 * 1024 * 1024;
const RECEIVE_BYTES = 128 * 1024;
const DUMP_TRIES = 10;
/** Of a batch that is sent on the event loop: a dozen ports. The kernel takes half a millisecond for it. */
const BRIEF_BYTES = 16 * 1024;
/** nf_tables has one lock for each network namespace, which a change keeps for as long as it takes. */
const pace = new KernelPace();

export interface NewRule {
  readonly table: string;
  readonly chain: string;
  /** NFTA_RULE_EXPRESSIONS and what goes with them. */
  readonly attributes: Buffer;
}

export interface Outcome {
  readonly added: readonly NftRule[];
  readonly deleted: readonly NftRule[];
  /** undefined: the kernel did not say. */
  readonly generation: number | undefined;
}

/** The rules of one family of nf_tables, in a network namespace. */
export class NftSocket {
  readonly #fd: number;
  readonly #family: number;
  readonly #buffer = Buffer.allocUnsafe(RECEIVE_BYTES);
  readonly #writer = new AttributeWriter();
  #sequence = 0;

  /** @throws HOST_PERMISSION. */
  constructor(family: 4 | 6, netnsPath: string | undefined) {
    this.#fd = openNetlink(netnsPath, [], NETLINK_NETFILTER);
    this.#family = FAMILY[family];
    setBufferBytes(this.#fd, BUFFER_BYTES);
  }

  close(): void {
    closeSync(this.#fd);
  }

  /** Counts the changes of all rules of the namespace, whoever makes them. */
  generation(): number {
    const sequence = this.#next();
    const writer = this.#writer;
    writer.clear();
    writer.message({ type: NFT_MSG.GETGEN, flags: NLM_F.REQUEST, sequence, family: 0 }, () => {});
    writeSync(this.#fd, writer.bytes);
    let generation: number | undefined;
    while (generation === undefined) {
      this.#receive(({ type, payload, ...header }) => {
        if (header.sequence !== sequence) return;
        if (type === NLMSG.ERROR) throw refusal('generation of the rules', payload);
        if (type === NFT_MSG.NEWGEN) generation = attributeOf(payload.subarray(4), GEN_ID)?.readUInt32BE();
      });
    }
    return generation;
  }

  /** The rules of a chain, in their order; none where there is no such chain. */
  rules(table: string, chain: string): NftRule[] {
    for (let tries = 0; tries < DUMP_TRIES; tries++) {
      const rules = this.#dump(table, chain);
      if (rules) return rules;
    }
    throw new HyperplugError(
      'FIREWALL_FAILED',
      `nf_tables: listing ${table} ${chain} was interrupted ${DUMP_TRIES} times`,
    );
  }

  /**
   * All changes or none, and only if the rules are of that generation still.
   * @returns the new rules and the deleted ones as the kernel echoes them, and the generation that they are of; undefined:
   * somebody else was faster.
   * @throws NET_KERNEL_REFUSED.
   */
  async commit(
    generation: number,
    doomed: readonly NftRule[],
    added: readonly NewRule[],
  ): Promise<Outcome | undefined> {
    const writer = this.#writer;
    writer.clear();
    const resource = NFTABLES;
    const begin = this.#next();
    writer.message({ type: BATCH.BEGIN, flags: NLM_F.REQUEST, sequence: begin, family: 0, resource }, () =>
      writer.u32be(BATCH.GENID, generation),
    );
    const family = this.#family;
    for (const { table, chain, handle } of doomed) {
      const flags = NLM_F.REQUEST | NLM_F.ECHO;
      writer.message({ type: NFT_MSG.DELRULE, flags, sequence: this.#next(), family }, () => {
        writer.string(RULE.TABLE, table);
        writer.string(RULE.CHAIN, chain);
        writer.u64be(RULE.HANDLE, handle);
      });
    }
    for (const { table, chain, attributes } of added) {
      const flags = NLM_F.REQUEST | NLM_F.CREATE | NLM_F.APPEND | NLM_F.ECHO;
      writer.message({ type: NFT_MSG.NEWRULE, flags, sequence: this.#next(), family }, () => {
        writer.string(RULE.TABLE, table);
        writer.string(RULE.CHAIN, chain);
        writer.append(attributes);
      });
    }
    const last = this.#next();
    writer.message({ type: BATCH.END, flags: NLM_F.REQUEST, sequence: last, family: 0, resource }, () => {});
    const { bytes } = writer;
    // The kernel does the work in there: if there is much of it, on a thread.
    if (bytes.length <= BRIEF_BYTES && pace.isQuick) pace.measured(() => writeSync(this.#fd, bytes));
    else {
      const copy = Buffer.from(bytes);
      await new Promise<void>((resolve, reject) => {
        write(this.#fd, copy, (error) => (error ? reject(error) : resolve()));
      });
    }
    return this.#outcome(begin);
  }

  /** All answers are there when the batch has been sent; the new generation is the last. */
  #outcome(begin: number): Outcome | undefined {
    const added: NftRule[] = [];
    const deleted: NftRule[] = [];
    let generation: number | undefined;
    let refused: Error | undefined;
    let stale = false;
    // To one of an old generation there is one answer.
    while (
      generation === undefined &&
      !stale &&
      this.#receive(({ type, sequence, payload }) => {
        if ((sequence - begin) >>> 0 > 0x7fff_ffff) return;
        if (type === NFT_MSG.NEWRULE) added.push(ruleOf(Buffer.from(payload.subarray(4))));
        else if (type === NFT_MSG.DELRULE) deleted.push(ruleOf(Buffer.from(payload.subarray(4))));
        else if (type === NFT_MSG.NEWGEN) generation = attributeOf(payload.subarray(4), GEN_ID)?.readUInt32BE();
        else if (type === NLMSG.ERROR && payload.readInt32LE(0) !== 0) {
          if (sequence === begin && payload.readInt32LE(0) === -ERESTART) stale = true;
          else refused ??= refusal('change of rules', payload);
        }
      })
    );
    if (stale) return undefined;
    if (refused) throw refused;
    return { added, deleted, generation };
  }

  /** undefined: a change came between. */
  #dump(table: string, chain: string): NftRule[] | undefined {
    const sequence = this.#next();
    const writer = this.#writer;
    writer.clear();
    const header = { type: NFT_MSG.GETRULE, flags: NLM_F.REQUEST | NLM_F.DUMP, sequence, family: this.#family };
    writer.message(header, () => {
      writer.string(RULE.TABLE, table);
      writer.string(RULE.CHAIN, chain);
    });
    writeSync(this.#fd, writer.bytes);
    const rules: NftRule[] = [];
    let interrupted = false;
    let done = false;
    while (!done) {
      const more = this.#receive((answer) => {
        if (answer.sequence !== sequence) return;
        if (answer.flags & NLM_F.DUMP_INTR) interrupted = true;
        if (answer.type === NLMSG.DONE) done = true;
        else if (answer.type === NLMSG.ERROR) throw refusal(`rules of ${table} ${chain}`, answer.payload);
        else if (answer.type === NFT_MSG.NEWRULE) rules.push(ruleOf(Buffer.from(answer.payload.subarray(4))));
      });
      if (!more) throw new HyperplugError('FIREWALL_FAILED', `nf_tables: the list of ${table} ${chain} has no end`);
    }
    return interrupted ? undefined : rules;
  }

  /** False: nothing is there to be read. */
  #receive(each: (answer: Answer) => void): boolean {
    let length: number;
    try {
      length = readSync(this.#fd, this.#buffer, 0, this.#buffer.length, null);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EAGAIN') return false;
      // Echoes are lost; what they would have shown is read from the rules then.
      if (code === 'ENOBUFS') return true;
      throw error;
    }
    for (let at = 0; at + 16 <= length; ) {
      const size = this.#buffer.readUInt32LE(at);
      if (size < 16 || at + size > length)
        throw new RangeError(`netlink message at ${at}: length ${size} in ${length} bytes`);
      each({
        type: this.#buffer.readUInt16LE(at + 4),
        flags: this.#buffer.readUInt16LE(at + 6),
        sequence: this.#buffer.readUInt32LE(at + 8),
        payload: this.#buffer.subarray(at + 16, at + size),
      });
      at += (size + 3) & ~3;
    }
    return true;
  }

  #next(): number {
    this.#sequence = (this.#sequence + 1) >>> 0;
    return this.#sequence;
  }
}

interface Answer {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly payload: Buffer;
}

/** asm-generic/errno.h, in answers to a batch of an old generation only. */
const ERESTART = 85;

function refusal(what: string, payload: Buffer): HyperplugError {
  return kernelError(`nf_tables: ${what}`, -payload.readInt32LE(0), undefined);
}
