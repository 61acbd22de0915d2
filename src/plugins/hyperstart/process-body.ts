import type { ContainerProcess } from '../../core/container.js';

/** The part of a process's description that says what is run. The original takes no keys that it does not know. */
export function processBody(spec: ContainerProcess, original: boolean) {
  const { user, group, additionalGroups, size } = spec;
  return {
    terminal: spec.terminal,
    args: spec.argv,
    envs: Object.entries(spec.env).map(([env, value]) => ({ env, value })),
    workdir: spec.workingDirectory,
    ...(user === undefined ? {} : { user }),
    ...(group === undefined ? {} : { group }),
    ...(additionalGroups === undefined ? {} : { additionalGroups }),
    ...(size === undefined || original ? {} : { row: size.rows, column: size.columns }),
  };
}
