import type { ContainerProcess, ResourceLimit } from '../../core/container.js';

/** The part of a process's description that says what is run. The original takes no keys that it does not know. */
export function processBody(spec: ContainerProcess, original: boolean) {
  const { user, group, additionalGroups, limits, size } = spec;
  return {
    terminal: spec.terminal,
    args: spec.argv,
    envs: Object.entries(spec.env).map(([env, value]) => ({ env, value })),
    workdir: spec.workingDirectory,
    ...(user === undefined ? {} : { user }),
    ...(group === undefined ? {} : { group }),
    ...(additionalGroups === undefined ? {} : { additionalGroups }),
    ...(limits === undefined ? {} : { rlimits: limits.map(limitBody) }),
    ...(size === undefined || original ? {} : { row: size.rows, column: size.columns }),
  };
}

/** What our agent takes for no limit, and to the original is one that no guest comes to. */
const NO_LIMIT = 2 ** 53;

const limitBody = ({ name, soft, hard }: ResourceLimit) => ({
  type: `RLIMIT_${name.toUpperCase()}`,
  soft: soft ?? NO_LIMIT,
  hard: hard ?? NO_LIMIT,
});
