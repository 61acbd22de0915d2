/** What is still to be written: a call that gets here fails, and so do the contract tests that need it. */
export function todo(what: string): never {
  throw new Error(`to do: ${what}`);
}
