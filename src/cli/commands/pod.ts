import { dirname } from 'node:path';
import { HyperplugError, isHyperplugError } from '../../core/errors.js';
import type { PodDetails, Pods } from '../../core/pod/pods-api.js';
import { idOfDocument, parsePodDocuments } from '../../core/pod/spec-documents.js';
import { withHostPaths } from '../../core/pod/spec-paths.js';
import type { CommandContext } from '../context.js';
import { EXIT, errorObject, usageError } from '../errors.js';
import { readText } from '../input.js';
import { stateText } from '../pod-text.js';

export interface PodTargets {
  /** Paths of specifications; `-`: standard input. */
  readonly file?: readonly string[];
}

/** Makes each pod of the file; goes on past failures. */
export function create(context: CommandContext, options: PodTargets & { readonly start?: boolean }): Promise<number> {
  return withSpecs(context, options.file, async (pods, specs) =>
    each(context, specs.map(labelOf), async (_, index) => {
      const made = await pods.create(specs[index], context.call);
      return options.start ? pods.start(made.id, context.call) : made;
    }),
  );
}

/** By id; those of a file are made where they are not there. */
export function start(context: CommandContext, ids: readonly string[], options: PodTargets): Promise<number> {
  if (options.file === undefined) return byId(context, ids, options, (pods, id) => pods.start(id, context.call));
  refuseIds(ids);
  return withSpecs(context, options.file, async (pods, specs) => {
    const known = new Set((await pods.list(context.call)).map(({ id }) => id));
    return each(context, specs.map(labelOf), async (id, index) => {
      const there = id !== undefined && known.has(id);
      const pod = there ? id : (await pods.create(specs[index], context.call)).id;
      return pods.start(pod, context.call);
    });
  });
}

export function stop(
  context: CommandContext,
  ids: readonly string[],
  options: PodTargets & { readonly time?: number },
): Promise<number> {
  const grace = options.time === undefined ? {} : { graceMs: options.time };
  return byId(context, ids, options, (pods, id) => pods.stop(id, { ...context.call, ...grace }));
}

export function rm(
  context: CommandContext,
  ids: readonly string[],
  options: PodTargets & { readonly force?: boolean },
): Promise<number> {
  const force = options.force === true;
  return byId(context, ids, options, async (pods, id) => {
    await pods.remove(id, { ...context.call, force });
    return undefined;
  });
}

export function pause(context: CommandContext, ids: readonly string[], options: PodTargets): Promise<number> {
  return byId(context, ids, options, (pods, id) => pods.pause(id, context.call));
}

export function resume(context: CommandContext, ids: readonly string[], options: PodTargets): Promise<number> {
  return byId(context, ids, options, (pods, id) => pods.resume(id, context.call));
}

/** Prints each pod's state when its VM has ended. */
export function wait(
  context: CommandContext,
  ids: readonly string[],
  options: PodTargets & { readonly timeout?: number },
): Promise<number> {
  const limit = options.timeout === undefined ? {} : { timeoutMs: options.timeout };
  return byId(
    context,
    ids,
    options,
    (pods, id) => pods.wait(id, { ...context.call, ...limit }),
    (pod) => `${pod.id} ${stateText(pod)}\n`,
  );
}

/** Always JSON: it is for programs, and holds more than a table can. */
export function inspect(context: CommandContext, ids: readonly string[], options: PodTargets): Promise<number> {
  return context.withHyperplug(async ({ pods }) => {
    const found: PodDetails[] = [];
    for (const id of await idsOf(context, ids, options)) found.push(await pods.inspect(id, context.call));
    await context.print(found, () => `${JSON.stringify(found, null, 2)}\n`);
    return EXIT.ok;
  });
}

async function byId(
  context: CommandContext,
  ids: readonly string[],
  options: PodTargets,
  body: (pods: Pods, id: string) => Promise<PodDetails | undefined>,
  line?: (pod: PodDetails) => string,
): Promise<number> {
  const named = await idsOf(context, ids, options);
  return context.withHyperplug(({ pods }) => each(context, named, (id) => body(pods, id as string), line));
}

/** @throws CLI_USAGE */
async function idsOf(
  context: CommandContext,
  ids: readonly string[],
  { file: files }: PodTargets,
): Promise<readonly string[]> {
  if (files === undefined) {
    if (ids.length === 0) throw usageError('no pod was given', 'name pods by id, or by a file with --file');
    return [...new Set(ids)];
  }
  refuseIds(ids);
  const documents = await readDocuments(context, files);
  const named = documents.flatMap(({ file, specs }) => specs.map((spec, index) => idOfDocument(spec, file, index)));
  return [...new Set(named)];
}

/** All are read before anything is done. @throws CLI_USAGE a file is named twice; POD_SPEC_INVALID, HOST_IO. */
async function readDocuments(context: CommandContext, files: readonly string[]) {
  const twice = files.find((file, index) => files.indexOf(file) !== index);
  if (twice !== undefined) throw usageError(`--file: expected each file once, got ${twice} twice`);
  const documents: { readonly file: string; readonly specs: readonly unknown[] }[] = [];
  for (const file of files) {
    const specs = await parsePodDocuments(await readText(context.io, file), file);
    // Those of standard input are of nowhere in particular: of here.
    const directory = file === '-' ? '.' : dirname(file);
    documents.push({ file, specs: specs.map((spec) => withHostPaths(spec, directory)) });
  }
  return documents;
}

/** @throws CLI_USAGE */
function refuseIds(ids: readonly string[]): void {
  if (ids.length > 0) throw usageError('pods were given by id and by --file', 'give one of them');
}

async function withSpecs(
  context: CommandContext,
  files: readonly string[] | undefined,
  body: (pods: Pods, specs: readonly unknown[]) => Promise<number>,
): Promise<number> {
  if (files === undefined) throw usageError('no specification was given', '--file FILE; - is standard input');
  const documents = await readDocuments(context, files);
  return context.withHyperplug(({ pods }) =>
    body(
      pods,
      documents.flatMap(({ specs }) => specs),
    ),
  );
}

const labelOf = (spec: unknown): string | undefined => {
  const id = (spec as { id?: unknown } | null)?.id;
  return typeof id === 'string' ? id : undefined;
};

/** One after the other, past failures; prints each id, or all results with --json. */
async function each(
  context: CommandContext,
  ids: readonly (string | undefined)[],
  body: (id: string | undefined, index: number) => Promise<PodDetails | undefined>,
  line: (pod: PodDetails) => string = ({ id }) => `${id}\n`,
): Promise<number> {
  const results: unknown[] = [];
  let failures = 0;
  for (const [index, id] of ids.entries()) {
    const which = ids.length > 1 ? `pod ${id ?? index + 1}` : undefined;
    if (context.interrupts.signal.aborted) throw context.interrupts.signal.reason;
    try {
      const pod = await body(id, index);
      results.push(pod ?? { id, removed: true });
      context.progress.clear();
      if (!context.common.json) await context.io.stdout.write(pod ? line(pod) : `${id}\n`);
    } catch (reason) {
      const error = which === undefined ? reason : naming(which, reason);
      failures += 1;
      results.push({ ...(id === undefined ? {} : { id }), error: errorObject(error, false) });
      if (!context.common.json) context.report(error);
    }
  }
  if (context.common.json) await context.print(results, () => '');
  return failures === 0 ? EXIT.ok : EXIT.failed;
}

/** Of several pods, the one that it is about: most errors name a field alone. */
function naming(pod: string, error: unknown): unknown {
  if (!isHyperplugError(error) || error.message.includes(pod)) return error;
  const { code, message, cause, details, errors } = error;
  return new HyperplugError(code, `${pod}: ${message}`, { cause, details, errors });
}
