import { attributeOf, eachAttribute, textOf } from './attributes.js';
import { EXPRESSION, EXTENSION, LIST_ELEMENT, RULE } from './expressions.js';

/** A rule as the kernel shows it. */
export interface NftRule {
  readonly table: string;
  readonly chain: string;
  readonly handle: bigint;
  /** NFTA_RULE_EXPRESSIONS. */
  readonly expressions: Buffer;
  readonly userdata: Buffer | undefined;
}

const TABLE = 1;
const CHAIN = 2;
const HANDLE = 3;
const USERDATA = 7;
/** libnftnl/udata.h: NFTNL_UDATA_RULE_COMMENT, in pairs of type and length (u8 each). */
const UDATA_COMMENT = 0;

/** From the attributes of NFT_MSG_NEWRULE and NFT_MSG_DELRULE. */
export function ruleOf(attributes: Buffer): NftRule {
  let table = '';
  let chain = '';
  let handle = 0n;
  let expressions: Buffer = Buffer.alloc(0);
  let userdata: Buffer | undefined;
  eachAttribute(attributes, (type, payload) => {
    if (type === TABLE) table = textOf(payload);
    else if (type === CHAIN) chain = textOf(payload);
    else if (type === HANDLE) handle = payload.readBigUInt64BE();
    else if (type === RULE.EXPRESSIONS) expressions = payload;
    else if (type === USERDATA) userdata = payload;
    return false;
  });
  return { table, chain, handle, expressions, userdata };
}

export function commentOf({ expressions, userdata }: NftRule): string | undefined {
  return commentIn(expressions) ?? (userdata && userdataComment(userdata));
}

/** Of the match `comment`. */
function commentIn(expressions: Buffer): string | undefined {
  let comment: string | undefined;
  eachAttribute(expressions, (type, element) => {
    if (type !== LIST_ELEMENT) return false;
    // The name comes first (nf_tables_fill_expr_info, nft_match_dump).
    if (!isText(element, 4, 'match\0')) return false;
    const data = attributeOf(element, EXPRESSION.DATA);
    if (!data || !isText(data, 4, 'comment\0')) return false;
    comment = textOf(attributeOf(data, EXTENSION.INFO));
    return true;
  });
  return comment;
}

/** Byte by byte: of thousands of rules no string is made for this. */
function isText(bytes: Buffer, at: number, text: string): boolean {
  for (let index = 0; index < text.length; index++) if (bytes[at + index] !== text.charCodeAt(index)) return false;
  return true;
}

function userdataComment(bytes: Buffer): string | undefined {
  for (let at = 0; at + 2 <= bytes.length; at += 2 + (bytes[at + 1] as number)) {
    if (bytes[at] === UDATA_COMMENT) return textOf(bytes.subarray(at + 2, at + 2 + (bytes[at + 1] as number)));
  }
  return undefined;
}

/**
 * Whether the kernel's rule is the one that was sent: each expression in its place, with every attribute that was given.
 * The kernel adds some of its own; a counter counts.
 */
export function sameExpressions(sent: Buffer, seen: Buffer): boolean {
  if (sent.equals(seen)) return true;
  const wanted = elements(sent);
  const found = elements(seen);
  return (
    wanted.length === found.length && wanted.every((element, index) => sameElement(element, found[index] as Buffer))
  );
}

function elements(expressions: Buffer): Buffer[] {
  const found: Buffer[] = [];
  eachAttribute(expressions, (type, element) => {
    if (type === LIST_ELEMENT) found.push(element);
    return false;
  });
  return found;
}

function sameElement(sent: Buffer, seen: Buffer): boolean {
  const name = textOf(attributeOf(sent, EXPRESSION.NAME));
  if (name !== textOf(attributeOf(seen, EXPRESSION.NAME))) return false;
  if (name === 'counter') return true;
  const given = attributeOf(sent, EXPRESSION.DATA) ?? Buffer.alloc(0);
  const shown = attributeOf(seen, EXPRESSION.DATA) ?? Buffer.alloc(0);
  let same = true;
  eachAttribute(given, (type, payload) => {
    same = attributeOf(shown, type)?.equals(payload) === true;
    return !same;
  });
  return same;
}
