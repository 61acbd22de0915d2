/**
 * Module customisation hooks (node:module, `register`), run by Node in a thread of their own. Two things follow from
 * them: a plugin outside this package may `import … from 'hyperplug'` and gets this very installation, not a second copy;
 * and a package is looked up from the configuration file that names it, with all of Node's own rules.
 */
interface ResolveContext {
  readonly conditions: readonly string[];
  readonly importAttributes: Readonly<Record<string, string>>;
  readonly parentURL: string | undefined;
}
interface ResolveResult {
  readonly url: string;
  readonly format?: string | null | undefined;
  readonly shortCircuit?: boolean;
}

/** `hyperplug-from:SPECIFIER?PARENT`, both URI-encoded: SPECIFIER as a module at the URL PARENT would import it. */
const PREFIX = 'hyperplug-from:';

export const importFrom = (specifier: string, parentUrl: string): string =>
  `${PREFIX}${encodeURIComponent(specifier)}?${encodeURIComponent(parentUrl)}`;

/** A URL inside this package, from which its own name resolves by `exports`. */
let self = import.meta.url;

export function initialize(data: { readonly self: string }): void {
  self = data.self;
}

export function resolve(
  specifier: string,
  context: ResolveContext,
  nextResolve: (specifier: string, context: ResolveContext) => Promise<ResolveResult>,
): Promise<ResolveResult> {
  if (specifier.startsWith(PREFIX)) {
    const [name = '', parent = ''] = specifier.slice(PREFIX.length).split('?').map(decodeURIComponent);
    return nextResolve(name, { ...context, parentURL: parent });
  }
  if (specifier === 'hyperplug' || specifier.startsWith('hyperplug/')) {
    return nextResolve(specifier, { ...context, parentURL: self });
  }
  return nextResolve(specifier, context);
}
