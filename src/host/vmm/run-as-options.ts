import { z } from 'zod';

/** Linux keeps uids 0 to 65535 for people and distributions, containers and systemd take from 65536 up to 1879048191. */
const FREE_UIDS = { first: 1_879_100_000, count: 65_536 };
const id = z.int().positive().max(0xffff_fffe);

/** The options of a driver that are about it. */
export const runAsShape = {
  runAs: z
    .union([z.enum(['auto', 'none']), z.strictObject({ uid: id, gid: id })])
    .default('auto')
    .describe('started by root: the user of each hypervisor; auto: one of uidRange for each VM; none: root'),
  uidRange: z
    .strictObject({ first: id, count: z.int().positive() })
    .default(FREE_UIDS)
    .describe('uids (and gids) that belong to nobody else'),
};
