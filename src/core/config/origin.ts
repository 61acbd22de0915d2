/** Where a value of the configuration comes from. */
export type Origin =
  | { readonly kind: 'default' }
  /** `line` counts from 1. */
  | { readonly kind: 'file'; readonly file: string; readonly line: number }
  /** `flag` as the user wrote it: `--driver`. */
  | { readonly kind: 'command line'; readonly flag: string };

/** `default`, `/etc/hyperplug/hyperplug.yaml:4`, `command line (--driver)`. */
export function originText(origin: Origin): string {
  if (origin.kind === 'file') return `${origin.file}:${origin.line}`;
  return origin.kind === 'default' ? 'default' : `command line (${origin.flag})`;
}
