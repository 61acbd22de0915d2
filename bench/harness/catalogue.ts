import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Scenario } from './scenario.js';

const FOLDER = new URL('../', import.meta.url);

/** Every file of bench/ is a scenario; what they share is in folders below. */
export function scenarioNames(): string[] {
  return readdirSync(fileURLToPath(FOLDER))
    .filter((file) => file.endsWith('.js'))
    .map((file) => file.slice(0, -3))
    .sort();
}

export async function loadScenario(name: string): Promise<Scenario> {
  const { default: scenario } = (await import(new URL(`${name}.js`, FOLDER).href)) as { default?: Scenario };
  if (scenario?.comparisons === undefined)
    throw new TypeError(`bench/${name}.ts: expected a scenario as default export`);
  return scenario;
}

export async function catalogue(): Promise<ReadonlyMap<string, Scenario>> {
  const names = scenarioNames();
  const scenarios = await Promise.all(names.map(loadScenario));
  return new Map(names.map((name, index) => [name, scenarios[index] as Scenario]));
}
