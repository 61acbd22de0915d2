import { readFileSync, statSync } from 'node:fs';
import { hostTscKhz } from './kernel-command-line.js';

let tscKhz: number | undefined | null = null;

/** See hostTscKhz(); read once. */
export function readHostTscKhz(): number | undefined {
  if (tscKhz === null) {
    const cpufreq = statSync('/sys/devices/system/cpu/cpu0/cpufreq', { throwIfNoEntry: false }) !== undefined;
    tscKhz = hostTscKhz(readFileSync('/proc/cpuinfo', 'utf8'), cpufreq);
  }
  return tscKhz;
}
