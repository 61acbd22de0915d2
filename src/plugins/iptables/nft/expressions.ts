import { encodeIp } from '../../../host/netlink/codec/address.js';
import type { Words } from '../rule-text.js';
import { AttributeWriter } from './attributes.js';
import { commentMatch, dnatTarget, type Extension, type Ports, portMatch } from './xtables.js';

/**
 * Rules in the words of iptables-save as expressions of nf_tables, the way iptables-nft itself has written them since it
 * exists (iptables/nft-ipv4.c, nft-shared.c), so that any version of it reads them back as the same words. Attribute
 * numbers: linux/netfilter/nf_tables.h, nf_tables_compat.h.
 */
export const RULE = { EXPRESSIONS: 4, COMPAT: 5 } as const;
export const LIST_ELEMENT = 1;
export const EXPRESSION = { NAME: 1, DATA: 2 } as const;
const META = { DREG: 1, KEY: 2 } as const;
const META_KEY = { IIFNAME: 6, OIFNAME: 7, L4PROTO: 16 } as const;
const PAYLOAD = { DREG: 1, BASE: 2, OFFSET: 3, LEN: 4 } as const;
const NETWORK_HEADER = 1;
const BITWISE = { SREG: 1, DREG: 2, LEN: 3, MASK: 4, XOR: 5, OP: 6 } as const;
const NFT_BITWISE_BOOL = 0;
const CMP = { SREG: 1, OP: 2, DATA: 3 } as const;
const CMP_EQ = 0;
const DATA = { VALUE: 1, VERDICT: 2 } as const;
const IMMEDIATE = { DREG: 1, DATA: 2 } as const;
const VERDICT_CODE = 1;
const COUNTER = { BYTES: 1, PACKETS: 2 } as const;
export const EXTENSION = { NAME: 1, REV: 2, INFO: 3 } as const;
const COMPAT = { PROTO: 1, FLAGS: 2 } as const;
const REGISTER = 1;
const VERDICT_REGISTER = 0;
const VERDICTS: Readonly<Record<string, number>> = { DROP: 0, ACCEPT: 1 };
const PROTOCOLS: Readonly<Record<string, number>> = { tcp: 6, udp: 17, sctp: 132 };
/** Of the field in struct iphdr and struct ip6_hdr. */
const ADDRESS_OFFSET = { 4: { source: 12, destination: 16 }, 6: { source: 8, destination: 24 } } as const;
const PROTOCOL_OFFSET = 9;

/** A rule in the few words that published ports have. */
interface Parsed {
  source?: string;
  destination?: string;
  out?: string;
  protocol?: string;
  ports?: Ports;
  comment?: string;
  target?: string;
  to?: string;
  random?: boolean;
}

/** A place in a rule that differs between rules of the same shape. */
interface Gap {
  readonly at: number;
  readonly fill: (rule: Parsed) => Pick<Extension, 'write'>;
}

interface Template {
  readonly attributes: Buffer;
  readonly gaps: readonly Gap[];
}

const MOST_TEMPLATES = 1000;

/**
 * Rules of one family as NFTA_RULE_EXPRESSIONS and what goes with them. Those of a network's ports differ by the NIC's
 * address, ports and comment alone, so each shape is put together once, and these are written into copies of it.
 */
export class RuleEncoder {
  readonly #writer = new AttributeWriter();
  readonly #templates = new Map<string, Template>();

  constructor(private readonly family: 4 | 6) {}

  /** undefined: it has words that these expressions are not made for. */
  encode(words: Words): Buffer | undefined {
    const rule = parse(words);
    if (!rule) return undefined;
    const { source, destination, out, protocol, target, ports, comment } = rule;
    const shape = `${source} ${hostOf(destination) ? '*' : destination} ${out} ${protocol} ${target} ${!ports} ${!comment}`;
    let template = this.#templates.get(shape);
    if (!template) {
      template = this.#build(rule);
      if (this.#templates.size >= MOST_TEMPLATES) this.#templates.clear();
      this.#templates.set(shape, template);
    }
    const attributes = Buffer.from(template.attributes);
    for (const { at, fill } of template.gaps) fill(rule).write(attributes, at);
    return attributes;
  }

  #build(rule: Parsed): Template {
    const { family } = this;
    const writer = this.#writer;
    const gaps: Gap[] = [];
    const protocol = PROTOCOLS[rule.protocol ?? ''];
    const later = (kind: 'match' | 'target', fill: (each: Parsed) => Extension) => {
      gaps.push({ at: extension(writer, kind, fill(rule)), fill });
    };
    writer.clear();
    writer.nest(RULE.EXPRESSIONS, () => {
      if (rule.source) address(writer, family, 'source', rule.source);
      if (hostOf(rule.destination)) {
        const at = host(writer, family, 'destination', encodeIp(hostOf(rule.destination) as string));
        gaps.push({ at, fill: (each) => addressOf(hostOf(each.destination) as string) });
      } else if (rule.destination) address(writer, family, 'destination', rule.destination);
      if (rule.out) outgoing(writer, rule.out);
      if (protocol !== undefined) l4Protocol(writer, family, protocol);
      if (rule.ports) later('match', (each) => portMatch(each.protocol as string, each.ports as Ports));
      if (rule.comment) later('match', (each) => commentMatch(each.comment as string));
      expression(writer, 'counter', () => {
        writer.u64be(COUNTER.BYTES, 0n);
        writer.u64be(COUNTER.PACKETS, 0n);
      });
      if (rule.target === 'DNAT') later('target', (each) => dnatTarget(each.to as string, each.random === true));
      else verdict(writer, VERDICTS[rule.target as string] as number);
    });
    if (protocol !== undefined) {
      writer.nest(RULE.COMPAT, () => {
        writer.u32be(COMPAT.PROTO, protocol);
        writer.u32be(COMPAT.FLAGS, 0);
      });
    }
    return { attributes: Buffer.from(writer.bytes), gaps };
  }
}

const PARSERS: Readonly<Record<string, (rule: Parsed, value: string) => void>> = {
  '-s': (rule, value) => {
    rule.source = value;
  },
  '-d': (rule, value) => {
    rule.destination = value;
  },
  '-o': (rule, value) => {
    rule.out = value;
  },
  '-p': (rule, value) => {
    rule.protocol = value;
  },
  // Each is told by its option.
  '-m': () => {},
  '--dport': (rule, value) => {
    const [first, last = first] = value.split(':').map(Number);
    rule.ports = [first as number, last as number];
  },
  '--comment': (rule, value) => {
    rule.comment = value;
  },
  '-j': (rule, value) => {
    rule.target = value;
  },
  '--to-destination': (rule, value) => {
    rule.to = value;
  },
};

function parse(words: Words): Parsed | undefined {
  const rule: Parsed = {};
  // The one word without a value, and the last.
  const random = words.at(-1) === '--random';
  if (random) rule.random = true;
  const end = random ? words.length - 1 : words.length;
  for (let at = 0; at < end; at += 2) {
    const value = words[at + 1];
    const take = PARSERS[words[at] as string];
    if (!take || value === undefined) return undefined;
    take(rule, value);
  }
  const known = rule.target === 'DNAT' ? rule.to !== undefined : rule.to === undefined && !random;
  if (!known || rule.target === undefined) return undefined;
  if (!(rule.target in VERDICTS) && rule.target !== 'DNAT') return undefined;
  if (rule.protocol !== undefined && !(rule.protocol in PROTOCOLS)) return undefined;
  return rule.ports && rule.protocol === undefined ? undefined : rule;
}

function expression(writer: AttributeWriter, name: string, body: () => void): void {
  writer.nest(LIST_ELEMENT, () => {
    writer.string(EXPRESSION.NAME, name);
    writer.nest(EXPRESSION.DATA, body);
  });
}

/** @returns where the value is. */
function compare(writer: AttributeWriter, value: Uint8Array): number {
  let at = 0;
  expression(writer, 'cmp', () => {
    writer.u32be(CMP.SREG, REGISTER);
    writer.u32be(CMP.OP, CMP_EQ);
    writer.nest(CMP.DATA, () => {
      at = writer.binary(DATA.VALUE, value);
    });
  });
  return at;
}

function load(writer: AttributeWriter, offset: number, length: number): void {
  expression(writer, 'payload', () => {
    writer.u32be(PAYLOAD.DREG, REGISTER);
    writer.u32be(PAYLOAD.BASE, NETWORK_HEADER);
    writer.u32be(PAYLOAD.OFFSET, offset);
    writer.u32be(PAYLOAD.LEN, length);
  });
}

/** The address of one with the prefix of a whole address, or without any. */
function hostOf(cidr: string | undefined): string | undefined {
  const [text, prefix] = (cidr ?? '').split('/');
  return text && (prefix === undefined || Number(prefix) === (text.includes(':') ? 128 : 32)) ? text : undefined;
}

const addressOf = (text: string): Pick<Extension, 'write'> => ({
  write: (bytes, at) => void bytes.set(encodeIp(text), at),
});

/** @returns where the address is. */
function host(writer: AttributeWriter, family: 4 | 6, which: 'source' | 'destination', bytes: Uint8Array): number {
  load(writer, ADDRESS_OFFSET[family][which], bytes.length);
  return compare(writer, bytes);
}

function address(writer: AttributeWriter, family: 4 | 6, which: 'source' | 'destination', cidr: string): void {
  const [text = '', prefix] = cidr.split('/');
  const bytes = encodeIp(text);
  if (hostOf(cidr)) return void host(writer, family, which, bytes);
  load(writer, ADDRESS_OFFSET[family][which], bytes.length);
  const mask = maskBytes(bytes.length, Number(prefix));
  expression(writer, 'bitwise', () => {
    writer.u32be(BITWISE.SREG, REGISTER);
    writer.u32be(BITWISE.DREG, REGISTER);
    writer.u32be(BITWISE.LEN, bytes.length);
    writer.u32be(BITWISE.OP, NFT_BITWISE_BOOL);
    writer.nest(BITWISE.MASK, () => writer.binary(DATA.VALUE, mask));
    writer.nest(BITWISE.XOR, () => writer.room(DATA.VALUE, bytes.length));
  });
  compare(
    writer,
    bytes.map((byte, index) => byte & (mask[index] as number)),
  );
}

function maskBytes(length: number, bits: number): Buffer {
  const mask = Buffer.alloc(length);
  for (let bit = 0; bit < bits; bit++) mask[bit >> 3] = (mask[bit >> 3] as number) | (0x80 >> (bit & 7));
  return mask;
}

function meta(writer: AttributeWriter, key: number): void {
  expression(writer, 'meta', () => {
    writer.u32be(META.KEY, key);
    writer.u32be(META.DREG, REGISTER);
  });
}

function outgoing(writer: AttributeWriter, name: string): void {
  meta(writer, META_KEY.OIFNAME);
  // With its NUL: the whole name.
  compare(writer, Buffer.from(`${name}\0`));
}

function l4Protocol(writer: AttributeWriter, family: 4 | 6, protocol: number): void {
  if (family === 4) load(writer, PROTOCOL_OFFSET, 1);
  else meta(writer, META_KEY.L4PROTO);
  compare(writer, Buffer.of(protocol));
}

/** @returns where its structure goes, in zeroes. */
function extension(
  writer: AttributeWriter,
  kind: 'match' | 'target',
  { name, revision, length }: Pick<Extension, 'name' | 'revision' | 'length'>,
): number {
  let at = 0;
  expression(writer, kind, () => {
    writer.string(EXTENSION.NAME, name);
    writer.u32be(EXTENSION.REV, revision);
    at = writer.room(EXTENSION.INFO, length);
  });
  return at;
}

function verdict(writer: AttributeWriter, code: number): void {
  expression(writer, 'immediate', () => {
    writer.u32be(IMMEDIATE.DREG, VERDICT_REGISTER);
    writer.nest(IMMEDIATE.DATA, () => {
      writer.nest(DATA.VERDICT, () => writer.u32be(VERDICT_CODE, code));
    });
  });
}
