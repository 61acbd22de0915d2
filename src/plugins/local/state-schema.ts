import { HyperplugError } from '../../core/errors.js';
import { SCHEMA_KEY } from './state-codec.js';
import type { Database } from './state-file.js';

/** One step up, on raw bytes; it runs inside the migration's transaction. */
export type Migration = (database: Database) => void;

export interface Schema {
  readonly version: number;
  /** From a version to the next. */
  readonly migrations: ReadonlyMap<number, Migration>;
}

export const schema: Schema = { version: 1, migrations: new Map() };

/**
 * Marks a new store, migrates an older one in one transaction. The caller holds the store's lock.
 * @throws STATE_VERSION for a newer store, STATE_CORRUPT for a file that is not a store of ours; both stay as they are.
 */
export function ensureSchema(database: Database, path: string, { version, migrations }: Schema): void {
  const found = readVersion(database, path);
  if (found === version) return;
  if (found !== undefined && found > version) {
    throw versionError(path, found, `this program reads up to ${version}`);
  }
  database.transactionSync(() => {
    for (let from = found ?? version; from < version; from++) {
      const migrate = migrations.get(from);
      if (!migrate) throw versionError(path, from, `this program has no way from it to ${version}`);
      migrate(database);
    }
    database.putSync(SCHEMA_KEY, Buffer.from(JSON.stringify({ schema: version })));
  });
}

/** Of a store that cannot be written. @throws STATE_VERSION it is of another version; STATE_CORRUPT, as above. */
export function checkSchema(database: Database, path: string, { version }: Schema): void {
  const found = readVersion(database, path);
  if (found === version || found === undefined) return;
  throw versionError(path, found, `expected ${version}, and it cannot be migrated where it is read-only`);
}

/** undefined: the store is new. */
function readVersion(database: Database, path: string): number | undefined {
  const bytes = database.get(SCHEMA_KEY);
  if (!bytes) {
    if (database.getKeysCount({ limit: 1 }) === 0) return undefined;
    throw foreign(path, 'it holds data and no schema version');
  }
  let version: unknown;
  try {
    version = (JSON.parse(bytes.toString('utf8')) as { schema?: unknown } | null)?.schema;
  } catch {
    version = undefined;
  }
  if (!Number.isInteger(version) || (version as number) < 1) throw foreign(path, 'its schema version is no number');
  return version as number;
}

function foreign(path: string, what: string): HyperplugError {
  return new HyperplugError('STATE_CORRUPT', `state store ${path}: ${what}; it was left as it is`, {
    details: { path },
  });
}

function versionError(path: string, found: number, why: string): HyperplugError {
  return new HyperplugError(
    'STATE_VERSION',
    `state store ${path}: has schema version ${found}, ${why}; it was left as it is`,
    { details: { path, version: found } },
  );
}
