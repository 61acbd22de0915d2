import { resolve } from 'node:path';

/** Said as relative, as the shell and compose files have it: a bare name is none, as it may be meant as an image's. */
const RELATIVE = /^\.\.?(\/|$)/;

/** Where a root says its place, if not as text. */
const ROOT_PLACES = ['path', 'directory', 'archive', 'ociLayout', 'image'] as const;

/**
 * A specification with what it names of the host made absolute: `./…` and `../…`, below `directory`, of rootfs, containers'
 * images and volumes' sources. All else stays as it stands, right or wrong.
 */
export function withHostPaths(spec: unknown, directory: string): unknown {
  const path = (value: unknown) =>
    typeof value === 'string' && RELATIVE.test(value) ? resolve(directory, value) : value;
  const root = (value: unknown) =>
    typeof value === 'string' ? path(value) : changed(value, Object.fromEntries(ROOT_PLACES.map((key) => [key, path])));
  const volume = (value: unknown) => changed(value, { source: path });
  return changed(spec, {
    rootfs: root,
    volumes: each(volume),
    containers: each((value) =>
      changed(value, { image: root, volumes: each((use) => changed(use, { detail: volume })) }),
    ),
  });
}

type Change = (value: unknown) => unknown;

const each =
  (change: Change): Change =>
  (value) =>
    Array.isArray(value) ? value.map(change) : value;

/** Of an object, the members that it has. */
function changed(value: unknown, changes: Readonly<Record<string, Change>>): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, member]) => [
      key,
      Object.hasOwn(changes, key) ? (changes[key] as Change)(member) : member,
    ]),
  );
}
