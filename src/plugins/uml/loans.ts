import { z } from 'zod';

const loans = z.array(z.strictObject({ path: z.string(), ino: z.int(), uid: z.int(), gid: z.int(), to: z.int() }));

/** A file that belongs to the user `to` while a VM runs, and to `uid` and `gid` before and after. */
export type Loan = z.output<typeof loans>[number];

/** A launch that was killed while it wrote had lent nothing of what it wrote then. */
export function readLoans(text: string): readonly Loan[] {
  try {
    return loans.parse(JSON.parse(text));
  } catch {
    return [];
  }
}
