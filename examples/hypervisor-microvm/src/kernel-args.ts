import { existsSync, readFileSync } from 'node:fs';

/**
 * What Linux needs to know of a machine without a reference clock: measuring the CPU's against the timer's ticks fails
 * where the host is busy, and the boot ends there. Said only where the host's frequency is one that does not change.
 */
export function clockArgs(): string[] {
  const info = readFileSync('/proc/cpuinfo', 'utf8');
  const mhz = Number(/^cpu MHz\s*: ([\d.]+)$/m.exec(info)?.[1]);
  const steady = /^flags\s*:.*\bconstant_tsc\b/m.test(info) && !existsSync('/sys/devices/system/cpu/cpu0/cpufreq');
  return mhz > 0 && steady
    ? ['no_timer_check', 'tsc=reliable', `tsc_early_khz=${Math.round(mhz * 1000)}`]
    : ['no_timer_check'];
}
