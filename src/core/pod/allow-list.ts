import { z } from 'zod';
import { parseSubnet } from '../config/subnet.js';
import type { JsonObject, JsonValue } from '../json.js';
import type { AllowList } from '../network.js';
import { wrong } from './spec-errors.js';

const networks = z.array(z.string()).max(64).nullish();

export const whiteListsSchema = z
  .strictObject({
    internalNetworks: networks.describe('CIDRs from which everything may come'),
    externalNetworks: networks.describe('CIDRs from which published ports may be reached, and nothing else'),
  })
  .describe('who may reach the pod from outside its networks; without an entry in either list: no restriction');

/** Canonical, each once. @throws POD_SPEC_INVALID. */
export function completeAllow(input: z.output<typeof whiteListsSchema> | null | undefined): AllowList | undefined {
  const list = (name: 'internalNetworks' | 'externalNetworks') => [
    ...new Set((input?.[name] ?? []).map((text, index) => cidr(text, `portmappingWhiteLists.${name}[${index}]`))),
  ];
  const allow = { internal: list('internalNetworks'), external: list('externalNetworks') };
  return allow.internal.length + allow.external.length > 0 ? allow : undefined;
}

/** As users write it. */
export const allowJson = ({ internal, external }: AllowList): JsonObject => ({
  internalNetworks: [...internal],
  externalNetworks: [...external],
});

/** Of a pod's specification as its record has it. */
export function allowOf(spec: JsonValue): AllowList | undefined {
  const input = (spec as JsonObject | null)?.portmappingWhiteLists;
  return input === undefined ? undefined : completeAllow(whiteListsSchema.parse(input));
}

function cidr(text: string, field: string): string {
  const whole = text.includes('/') ? text : `${text}/${text.includes(':') ? 128 : 32}`;
  const subnet = parseSubnet(whole);
  if ('expected' in subnet) throw wrong(field, `${subnet.expected}, or an address`, text);
  return subnet.text;
}
