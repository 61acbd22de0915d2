/** What the words say where there are some, else what is usual: `defaults` of as many. */
export function numbersOf(words: readonly string[], defaults: readonly number[]): number[] {
  const given = words.map((word) => {
    if (!/^[1-9]\d*$/.test(word)) throw new Error(`expected a positive whole number, got ${word}`);
    return Number(word);
  });
  return [...given, ...defaults.slice(given.length)];
}
