import { readFileSync, writeFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { ROOT } from './docs.js';

/** A step of a guide: a command to type, or a file to write. */
export type Step =
  | { readonly command: string; readonly fails: boolean }
  | { readonly path: string; readonly text: string };

const FILE = /^<!-- file: (\S+) -->\n(?:```\w*\n([\s\S]*?)^```\n)?/gm;
const LANGUAGES: Readonly<Record<string, string>> = { '.ts': 'ts', '.c': 'c', '.h': 'c' };

const pathOf = (guide: string) => join(ROOT, 'docs', 'guide', guide);
export const readGuide = (guide: string) => readFileSync(pathOf(guide), 'utf8');

/** The guide with the files of its example in it. */
export function completeGuide(guide: string, example: string): string {
  return readGuide(guide).replace(FILE, (_all, path: string) => {
    const text = readFileSync(join(ROOT, 'examples', example, path), 'utf8');
    return `<!-- file: ${path} -->\n\`\`\`${LANGUAGES[extname(path)] ?? 'make'}\n${text}\`\`\`\n`;
  });
}

export function writeGuide(guide: string, text: string): void {
  writeFileSync(pathOf(guide), text);
}

/** What a reader does, in order. A command whose comment begins with `fails` is one that must fail. */
export function stepsOf(text: string): Step[] {
  const steps: { readonly at: number; readonly step: Step }[] = [];
  for (const { index, 1: path = '', 2: body = '' } of text.matchAll(FILE)) {
    steps.push({ at: index, step: { path, text: body } });
  }
  for (const { index, 1: block = '' } of text.matchAll(/^```sh\n([\s\S]*?)^```$/gm)) {
    for (const [at, line] of block.trimEnd().split('\n').entries()) {
      const [command = '', comment = ''] = line.split(/\s+#\s*/);
      steps.push({ at: index + at, step: { command, fails: comment.startsWith('fails') } });
    }
  }
  return steps.sort((one, other) => one.at - other.at).map(({ step }) => step);
}
