/** What the command line depends on. */
export interface CommandLineFacts {
  readonly accelerator: 'kvm' | 'tcg';
  readonly machine: 'q35' | 'pc';
  readonly tuning: 'fast' | 'none';
  /** See hostTscKhz(); undefined: the guest finds out by itself. */
  readonly tscKhz: number | undefined;
  /** VmSpec.kernelArgs. */
  readonly extra: readonly string[];
}

/**
 * Debian's kernel spends most of these on what a VM has no use for (certificates, probes of absent hardware). A name that
 * a kernel does not have is ignored.
 */
const INITCALL_BLACKLIST = [
  'load_system_certificate_list',
  'init_kprobe_trace',
  'crypto_kdf108_init',
  'init_encrypted',
  'add_pcspkr',
  'vga_arb_device_init',
  'blacklist_init',
  'i8042_init',
];

/** Documentation/admin-guide/kernel-parameters.txt. Later words win, so `extra` can overrule ours. */
export function kernelCommandLine(facts: CommandLineFacts): string {
  const words = ['console=ttyS0', 'panic=1'];
  if (facts.tuning === 'fast') {
    words.push(
      'quiet',
      'cryptomgr.notests',
      'noreplace-smp',
      'no_timer_check',
      'rcupdate.rcu_expedited=1',
      `initcall_blacklist=${INITCALL_BLACKLIST.join(',')}`,
    );
    if (facts.accelerator === 'tcg') {
      words.push('noapictimer', 'mitigations=off');
      // An emulated timer is a poor clock to calibrate by: a loaded host makes the guest's clock run fast.
      if (facts.tscKhz !== undefined) words.push('tsc=reliable', `tsc_early_khz=${facts.tscKhz}`);
    }
    // The guest would evaluate ACPI _PRT at each plug and unplug, which takes most of the time.
    if (facts.machine === 'pc') words.push('acpi=noirq');
  }
  return [...words, ...facts.extra].join(' ');
}

/**
 * The host's TSC in kHz, which is a TCG guest's too. /proc/cpuinfo shows it only where the kernel has nothing better to
 * show as "cpu MHz": no frequency scaling and no APERF/MPERF. Elsewhere that is the core's clock of the moment, and a
 * guest told it would keep wrong time.
 */
export function hostTscKhz(cpuinfo: string, hasCpufreq: boolean): number | undefined {
  const field = (name: string) => new RegExp(`^${name}\\s*:\\s*(.*)$`, 'm').exec(cpuinfo)?.[1];
  const flags = new Set(field('flags')?.split(/\s+/));
  if (hasCpufreq || flags.has('aperfmperf') || !flags.has('constant_tsc')) return undefined;
  const mhz = Number(field('cpu MHz'));
  return mhz >= 100 && mhz < 100_000 ? Math.round(mhz * 1000) : undefined;
}
