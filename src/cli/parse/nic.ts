import { isIP } from 'node:net';
import { fieldError, HyperplugError } from '../../core/errors.js';
import { parseMac } from '../../core/mac.js';
import { INTERFACE_NAME, type NameRule, NIC_ID } from '../../core/pod/interface-names.js';
import { closest } from '../../core/suggest.js';

/** An `interfaces` entry of a pod specification. */
export interface NicText {
  readonly id?: string;
  readonly network?: string;
  readonly ip?: string[];
  readonly mac?: string;
  readonly mtu?: number;
  readonly ifname?: string;
  readonly gateway?: string | false;
  readonly tap?: string;
}

const KEYS = ['net', 'ip', 'mac', 'mtu', 'name', 'id', 'gateway', 'tap'] as const;
type Key = (typeof KEYS)[number];

/**
 * `net=lab,ip=10.0.0.5,ip=fd00::5,mac=…,mtu=…,name=lan0,id=…,gateway=none,tap=mytap`: keys in any order, all optional, only `ip`
 * several times.
 * @param option what it is called on the command line.
 * @throws CLI_USAGE
 */
export function parseNic(text: string, option = 'NIC'): NicText {
  const nic: { -readonly [K in keyof NicText]: NicText[K] } = {};
  const seen = new Set<Key>();
  for (const part of text.split(',')) {
    const at = part.indexOf('=');
    const key = part.slice(0, at) as Key;
    const value = part.slice(at + 1);
    if (at < 1 || value === '') throw fieldError('CLI_USAGE', option, `${KEYS.join('=…, ')}=…, comma-separated`, text);
    if (!KEYS.includes(key)) throw unknownKey(key, option);
    if (seen.has(key) && key !== 'ip') throw fieldError('CLI_USAGE', `${option}: ${key}`, 'it once', text);
    seen.add(key);
    switch (key) {
      case 'net':
        nic.network = value;
        break;
      case 'ip':
        nic.ip = [...(nic.ip ?? []), parseAddress(`${option}: ip`, value)];
        break;
      case 'mac':
        nic.mac = parseMac(value, `${option}: mac`, 'CLI_USAGE');
        break;
      case 'mtu':
        nic.mtu = parseMtu(`${option}: mtu`, value);
        break;
      case 'name':
        nic.ifname = named(`${option}: name`, value, INTERFACE_NAME);
        break;
      case 'gateway':
        nic.gateway = value === 'none' ? false : parseGateway(`${option}: gateway`, value, 'an IP address, or none');
        break;
      default:
        nic[key] = named(`${option}: ${key}`, value, key === 'id' ? NIC_ID : INTERFACE_NAME);
    }
  }
  return nic;
}

function named(field: string, text: string, { pattern, expected }: NameRule): string {
  if (!pattern.test(text)) throw fieldError('CLI_USAGE', field, expected, text);
  return text;
}

function unknownKey(key: string, option: string): HyperplugError {
  const near = closest(key, KEYS);
  const hint = near === undefined ? {} : { fix: `did you mean ${near}?` };
  return new HyperplugError('CLI_USAGE', `${option}: expected one of ${KEYS.join(', ')}, got ${JSON.stringify(key)}`, {
    details: { field: option, expected: KEYS, received: key, ...hint },
  });
}

/** `10.0.0.5`, or `10.0.0.5/24` with the length of its subnet. @throws CLI_USAGE */
export function parseAddress(field: string, text: string, expected = 'an IP address, or one with /PREFIX'): string {
  const [, address = '', prefix] = /^(.+?)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const family = isIP(address);
  if (family === 0 || Number(prefix ?? 0) > (family === 4 ? 32 : 128))
    throw fieldError('CLI_USAGE', field, expected, text);
  return text;
}

/** @throws CLI_USAGE */
export function parseGateway(field: string, text: string, expected = 'an IP address'): string {
  if (isIP(text) === 0) throw fieldError('CLI_USAGE', field, expected, text);
  return text;
}

/** @throws CLI_USAGE */
export function parseMtu(field: string, text: string): number {
  const mtu = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (mtu < 68 || mtu > 65_535) throw fieldError('CLI_USAGE', field, 'bytes from 68 to 65535', text);
  return mtu;
}

/** @throws CLI_USAGE */
export function parseMetric(text: string): number {
  const metric = /^\d{1,10}$/.test(text) ? Number(text) : -1;
  if (metric < 0 || metric > 0xffff_ffff) throw fieldError('CLI_USAGE', '--metric', '0 to 4294967295', text);
  return metric;
}

/** A route's destination. @throws CLI_USAGE */
export function parseDestination(text: string): string {
  return text === 'default' ? text : parseAddress('DEST', text, 'default, a subnet (10.1.0.0/16) or an address');
}
