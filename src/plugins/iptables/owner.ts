import { ownerMark } from '../../core/ownership.js';
import { commentOf, type SavedRule, type Words } from './rule-text.js';

/**
 * Marks as they stand in the kernel say whose they are (`hyperplug@OWNER default outgoing`); everywhere else they don't,
 * as rules of another owner are nobody's business here.
 */
const PLAIN = `${ownerMark(undefined)} `;

/** As read: our marks without the owner; one of another owner, or of none, is turned into no mark of ours. */
export function ownedRule(rule: SavedRule, owner: string | undefined): SavedRule {
  const comment = ownedComment(rule.comment, owner);
  if (comment === undefined || comment === rule.comment) return rule;
  return { ...rule, comment, words: withComment(rule.words, comment) };
}

export function ownedComment(comment: string | undefined, owner: string | undefined): string | undefined {
  if (owner === undefined || comment === undefined) return comment;
  const mark = `${ownerMark(owner)} `;
  if (comment.startsWith(mark)) return PLAIN + comment.slice(mark.length);
  return comment.startsWith(PLAIN) ? `without owner: ${comment}` : comment;
}

/** As written. */
export function ownedWords(words: Words, owner: string | undefined): Words {
  const comment = commentOf(words);
  if (owner === undefined || !comment?.startsWith(PLAIN)) return words;
  return withComment(words, `${ownerMark(owner)} ${comment.slice(PLAIN.length)}`);
}

function withComment(words: Words, comment: string): Words {
  const at = words.indexOf('--comment') + 1;
  return words.map((word, index) => (index === at ? comment : word));
}
