import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';

/** A network namespace of a test's own, made and looked at with iproute2. */
export class TestNamespace {
  readonly name = `hp-test-${process.pid}-${randomBytes(3).toString('hex')}`;
  readonly path = `/run/netns/${this.name}`;

  constructor() {
    execFileSync('ip', ['netns', 'add', this.name]);
    execFileSync('ip', ['-n', this.name, 'link', 'set', 'lo', 'up']);
  }

  /** Why a test that needs one cannot run here; undefined: it can. */
  static unavailable(): string | undefined {
    if (process.getuid?.() !== 0) return 'network namespaces are made by root';
    return ['/usr/sbin/ip', '/sbin/ip', '/usr/bin/ip'].some(existsSync) ? undefined : 'iproute2 is not installed';
  }

  ip(...args: string[]): string {
    return execFileSync('ip', ['-n', this.name, ...args], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      maxBuffer: 64 * 1024 * 1024,
    });
  }

  /** `ip -j` output. */
  // biome-ignore lint/suspicious/noExplicitAny: iproute2's JSON has no types
  json(...args: string[]): any[] {
    const text = this.ip('-j', '-d', ...args);
    return text.trim() === '' ? [] : JSON.parse(text);
  }

  exec(command: string, ...args: string[]): string {
    return execFileSync('ip', ['netns', 'exec', this.name, command, ...args], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  }

  /** `iptables-save` and `ip6tables-save`. `variant`: -nft or -legacy; default: the machine's. */
  savedRules(variant = ''): string {
    // One process is started of this one, which is large by then.
    const script = `iptables${variant}-save && ip6tables${variant}-save`;
    return execFileSync('nsenter', [`--net=${this.path}`, 'sh', '-c', script], { encoding: 'utf8' });
  }

  /** Empties the tables that ours are in. `variant`: -nft or -legacy; default: the machine's. */
  flushRules(variant = ''): void {
    const input = ['nat', 'filter'].map((table) => `*${table}\n-F\n-X\nCOMMIT\n`).join('');
    for (const family of ['iptables', 'ip6tables']) {
      const argv = [`--net=${this.path}`, `${family}${variant}-restore`, '--noflush'];
      execFileSync('nsenter', argv, { input, stdio: ['pipe', 'ignore', 'pipe'] });
    }
  }

  links(): string[] {
    return this.json('link', 'show').map((link) => link.ifname);
  }

  delete(): void {
    execFileSync('ip', ['netns', 'delete', this.name]);
  }
}
