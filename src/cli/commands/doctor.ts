import type { Diagnosis } from '../../core/diagnosis.js';
import type { CommandContext } from '../context.js';
import { EXIT } from '../errors.js';
import { type Paint, visible } from '../text.js';

const STYLE = { ok: 'green', warn: 'yellow', fail: 'red' } as const;

export function execute(context: CommandContext): Promise<number> {
  return context.withHyperplug(async (hyperplug) => {
    const findings = await hyperplug.diagnose(context.call);
    await context.print(findings, () => text(findings, context.paint));
    return findings.some((finding) => finding.status === 'fail') ? EXIT.findings : EXIT.ok;
  }, 'try');
}

function text(findings: readonly Diagnosis[], paint: Paint): string {
  const width = Math.max(0, ...findings.map((finding) => finding.id.length));
  const indent = ' '.repeat(width + 8);
  const lines = findings.flatMap((finding) => [
    `${paint(STYLE[finding.status], finding.status.padEnd(4))}  ${finding.id.padEnd(width)}  ${visible(finding.summary)}`,
    ...(finding.detail ?? '')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => `${indent}${paint('dim', visible(line))}`),
    ...(finding.fix === undefined ? [] : [`${indent}${paint('bold', 'fix')}: ${visible(finding.fix)}`]),
  ]);
  const count = (status: Diagnosis['status']) => findings.filter((finding) => finding.status === status).length;
  lines.push(`${count('ok')} ok, ${count('warn')} to look at, ${count('fail')} failed`);
  return `${lines.join('\n')}\n`;
}
