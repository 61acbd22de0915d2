import { type Attributes, type AttributeTable, decodeAttributes, padding, writeAttributes } from './attributes.js';
import { ByteWriter } from './byte-writer.js';
import { ADDRESS, FLOW, LINK, NEIGHBOUR, ROUTE } from './tables.js';

/** linux/rtnetlink.h. */
export const RTM = {
  NEWLINK: 16,
  DELLINK: 17,
  GETLINK: 18,
  NEWADDR: 20,
  DELADDR: 21,
  GETADDR: 22,
  NEWROUTE: 24,
  DELROUTE: 25,
  GETROUTE: 26,
  NEWNEIGH: 28,
  DELNEIGH: 29,
  GETNEIGH: 30,
} as const;

/** linux/netfilter/nfnetlink_conntrack.h: NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_*. */
export const CTNETLINK = { NEW: 0x100, GET: 0x101, DELETE: 0x102 } as const;

/** linux/netlink.h. */
export const NLM_F = {
  REQUEST: 0x1,
  MULTI: 0x2,
  ACK: 0x4,
  DUMP_INTR: 0x10,
  DUMP: 0x300,
  REPLACE: 0x100,
  EXCL: 0x200,
  CREATE: 0x400,
  CAPPED: 0x100,
  ACK_TLVS: 0x200,
} as const;

export const NLMSG = { NOOP: 1, ERROR: 2, DONE: 3, OVERRUN: 4 } as const;

type FieldType = 'u8' | 'u16' | 'u32' | 's32';
type Field = readonly [name: string, type: FieldType, offset: number];

interface Family {
  /** Size of the fixed part. */
  readonly size: number;
  readonly fields: readonly Field[];
  readonly attributes: AttributeTable;
}

/** struct ifinfomsg. */
const LINK_MESSAGE: Family = {
  size: 16,
  fields: [
    ['family', 'u8', 0],
    ['type', 'u16', 2],
    ['index', 's32', 4],
    ['flags', 'u32', 8],
    ['change', 'u32', 12],
  ],
  attributes: LINK,
};

/** struct ifaddrmsg. */
const ADDRESS_MESSAGE: Family = {
  size: 8,
  fields: [
    ['family', 'u8', 0],
    ['prefixLength', 'u8', 1],
    ['flags', 'u8', 2],
    ['scope', 'u8', 3],
    ['index', 'u32', 4],
  ],
  attributes: ADDRESS,
};

/** struct rtmsg. */
const ROUTE_MESSAGE: Family = {
  size: 12,
  fields: [
    ['family', 'u8', 0],
    ['destinationLength', 'u8', 1],
    ['sourceLength', 'u8', 2],
    ['tos', 'u8', 3],
    ['table', 'u8', 4],
    ['protocol', 'u8', 5],
    ['scope', 'u8', 6],
    ['type', 'u8', 7],
    ['flags', 'u32', 8],
  ],
  attributes: ROUTE,
};

/** struct ndmsg. */
const NEIGHBOUR_MESSAGE: Family = {
  size: 12,
  fields: [
    ['family', 'u8', 0],
    ['index', 's32', 4],
    ['state', 'u16', 8],
    ['flags', 'u8', 10],
    ['type', 'u8', 11],
  ],
  attributes: NEIGHBOUR,
};

/** struct nfgenmsg. */
const FLOW_MESSAGE: Family = {
  size: 4,
  fields: [
    ['family', 'u8', 0],
    ['version', 'u8', 1],
    ['resource', 'u16', 2],
  ],
  attributes: FLOW,
};

const FAMILIES: Readonly<Record<number, Family>> = {
  16: LINK_MESSAGE,
  17: LINK_MESSAGE,
  18: LINK_MESSAGE,
  20: ADDRESS_MESSAGE,
  21: ADDRESS_MESSAGE,
  22: ADDRESS_MESSAGE,
  24: ROUTE_MESSAGE,
  25: ROUTE_MESSAGE,
  26: ROUTE_MESSAGE,
  28: NEIGHBOUR_MESSAGE,
  29: NEIGHBOUR_MESSAGE,
  30: NEIGHBOUR_MESSAGE,
  256: FLOW_MESSAGE,
  257: FLOW_MESSAGE,
  258: FLOW_MESSAGE,
};

export type Header = Readonly<Record<string, number>>;

export interface Message {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly port: number;
  /** The fixed part, by field name. */
  readonly header: Header;
  readonly attributes: Attributes;
  /** The payload of a message that no table describes (ERROR, DONE). */
  readonly raw: Buffer;
}

export interface Request {
  readonly type: number;
  readonly flags: number;
  readonly header?: Header;
  readonly attributes?: Attributes;
}

/** The payload of a message: fixed part and attributes. Also what a veth's peer is made of. */
export function encodeBody(type: number, header: Header, attributes: Attributes): Buffer {
  const writer = new ByteWriter();
  writeBody(writer, type, header, attributes);
  return writer.bytes;
}

function writeBody(to: ByteWriter, type: number, header: Header, attributes: Attributes): void {
  const family = FAMILIES[type];
  if (!family) throw new TypeError(`no table for netlink message type ${type}`);
  for (const name in header) {
    if (!family.fields.some(([known]) => known === name))
      throw new TypeError(`${name}: no such field of message type ${type}`);
  }
  const at = to.reserve(family.size);
  const { buffer } = to;
  for (const [name, fieldType, offset] of family.fields) {
    const value = header[name];
    if (value === undefined) continue;
    if (fieldType === 'u8') buffer.writeUInt8(value, at + offset);
    else if (fieldType === 'u16') buffer.writeUInt16LE(value, at + offset);
    else if (fieldType === 'u32') buffer.writeUInt32LE(value, at + offset);
    else buffer.writeInt32LE(value, at + offset);
  }
  writeAttributes(to, attributes, family.attributes);
}

/** struct nlmsghdr { u32 len; u16 type; u16 flags; u32 seq; u32 pid }, then the body; aligned for another one behind. */
export function writeMessage(to: ByteWriter, request: Request, sequence: number): void {
  const start = to.reserve(16);
  writeBody(to, request.type, request.header ?? {}, request.attributes ?? {});
  const { buffer } = to;
  buffer.writeUInt32LE(to.length - start, start);
  buffer.writeUInt16LE(request.type, start + 4);
  buffer.writeUInt16LE(request.flags, start + 6);
  buffer.writeUInt32LE(sequence, start + 8);
}

export function encodeMessage(request: Request, sequence: number): Buffer {
  const writer = new ByteWriter();
  writeMessage(writer, request, sequence);
  return writer.bytes;
}

/** @param rows of the attributes; default: all that are known. @throws RangeError for lengths that do not fit. */
export function decodeMessages(bytes: Buffer, rows?: AttributeTable): Message[] {
  const messages: Message[] = [];
  let offset = 0;
  while (offset + 16 <= bytes.length) {
    const length = bytes.readUInt32LE(offset);
    if (length < 16 || offset + length > bytes.length) {
      throw new RangeError(`netlink message at ${offset}: length ${length} in ${bytes.length} bytes`);
    }
    messages.push(decodeMessage(bytes.subarray(offset, offset + length), rows));
    offset += length + padding(length);
  }
  return messages;
}

const NOTHING = Buffer.alloc(0);

function decodeMessage(bytes: Buffer, rows: AttributeTable | undefined): Message {
  const type = bytes.readUInt16LE(4);
  const raw = bytes.subarray(16);
  const family = FAMILIES[type];
  const known = family !== undefined && raw.length >= family.size;
  return {
    type,
    flags: bytes.readUInt16LE(6),
    sequence: bytes.readUInt32LE(8),
    port: bytes.readUInt32LE(12),
    header: known ? decodeHeader(raw, family) : {},
    attributes: known ? decodeAttributes(raw.subarray(family.size), rows ?? family.attributes) : {},
    raw: known ? NOTHING : Buffer.from(raw),
  };
}

function decodeHeader(bytes: Buffer, family: Family): Header {
  const header: Record<string, number> = {};
  for (const [name, type, offset] of family.fields) {
    if (type === 'u8') header[name] = bytes.readUInt8(offset);
    else if (type === 'u16') header[name] = bytes.readUInt16LE(offset);
    else if (type === 'u32') header[name] = bytes.readUInt32LE(offset);
    else header[name] = bytes.readInt32LE(offset);
  }
  return header;
}
