/** Shortest prefixes that are allocated from. */
export const SHORTEST_PREFIX = Object.freeze({ 4: 8, 6: 64 });
