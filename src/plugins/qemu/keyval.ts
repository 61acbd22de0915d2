/**
 * QEMU's `a=b,c=d` notation (util/keyval.c): a comma in a value is doubled. undefined leaves the key out. Arrays repeat it.
 */
export function keyval(
  head: string,
  values: Readonly<Record<string, string | number | boolean | readonly string[] | undefined>> = {},
): string {
  const parts = [escapeComma(head)];
  for (const [key, value] of Object.entries(values)) {
    if (value === undefined) continue;
    const all = Array.isArray(value) ? (value as readonly string[]) : [value];
    for (const one of all)
      parts.push(`${key}=${one === true ? 'on' : one === false ? 'off' : escapeComma(String(one))}`);
  }
  return parts.join(',');
}

function escapeComma(text: string): string {
  return text.replaceAll(',', ',,');
}
