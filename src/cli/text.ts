/** Text from a guest, a log or a peer must not steer the user's terminal: control characters are shown, not sent. */
export function visible(text: string, keep: '\n\t' | '' = ''): string {
  return text.replace(/[\x00-\x1f\x7f-\x9f]/g, (char) => {
    if (keep.includes(char) && char !== '') return char;
    const code = char.charCodeAt(0);
    return code < 0x20 ? `^${String.fromCharCode(code + 64)}` : `\\x${code.toString(16)}`;
  });
}

/** Columns padded to their widest cell, two spaces between; the last column is not padded. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = [header, ...rows].map((row) => row.map((cell) => visible(cell)));
  const widths = header.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  return cells
    .map((row) => row.map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0))))
    .map((row) => `${row.join('  ').trimEnd()}\n`)
    .join('');
}

export function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

/** `45s`, `12m`, `3h`, `5d`: the largest unit that says at least 1. */
export function age(sinceIso: string, nowMs: number): string {
  const seconds = Math.max(0, Math.floor((nowMs - Date.parse(sinceIso)) / 1000));
  if (Number.isNaN(seconds)) return '?';
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}

export type Paint = (style: 'bold' | 'red' | 'green' | 'yellow' | 'dim', text: string) => string;

const SGR = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33 } as const;

/** Colours only on a terminal, and not with NO_COLOR set to anything but nothing (no-color.org) or TERM=dumb. */
export function painter(isTerminal: boolean, env: Readonly<Record<string, string | undefined>>): Paint {
  const on = isTerminal && !env.NO_COLOR && env.TERM !== 'dumb';
  return (style, text) => (on ? `\x1b[${SGR[style]}m${text}\x1b[0m` : text);
}
