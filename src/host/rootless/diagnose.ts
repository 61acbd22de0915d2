import { accessSync, constants, readFileSync } from 'node:fs';
import type { CallOptions } from '../../core/calls.js';
import type { Diagnosis } from '../../core/diagnosis.js';
import { hasCode } from '../../core/errors.js';
import { runCommand } from '../command.js';
import { findProgram } from '../debian/tools.js';
import { hasRoot } from '../privilege.js';

/** Files that say why this user may not make user namespaces, the value at which it may not, and what mends it. */
const SWITCHES = [
  ['/proc/sys/kernel/unprivileged_userns_clone', '0', 'sysctl kernel.unprivileged_userns_clone=1'],
  ['/proc/sys/user/max_user_namespaces', '0', 'sysctl user.max_user_namespaces=10000'],
  [
    '/proc/sys/kernel/apparmor_restrict_unprivileged_userns',
    '1',
    'sysctl kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile that allows userns',
  ],
] as const;

/** Whether rootless networks work here, tried out as far as it leaves nothing. `wanted`: else nothing of it is a failure. */
export async function diagnoseRootless(wanted: boolean, call: CallOptions): Promise<readonly Diagnosis[]> {
  const bad = wanted ? 'fail' : 'warn';
  return [await namespaces(bad, call), tun(bad), await slirp()];
}

/** Of a process that is not in the namespaces: `obstacle` is why not, if it tried. */
export function unaskedNetworks(obstacle: Error | undefined): Diagnosis {
  const why = obstacle?.message ?? 'this process is not in the namespaces that they work in';
  const summary = `network and firewall could not be asked: ${why}`;
  return { id: 'rootless.session', status: obstacle ? 'fail' : 'warn', summary };
}

async function namespaces(bad: 'fail' | 'warn', { signal }: CallOptions): Promise<Diagnosis> {
  const id = 'rootless.namespaces';
  const user = hasRoot() ? [] : ['--user', '--map-root-user'];
  const what = hasRoot() ? 'network namespaces' : 'user and network namespaces';
  try {
    // The first thing that is done in one, and what a seccomp profile or a security module may refuse by itself.
    await runCommand(['unshare', ...user, '--net', '--', 'cat', '/proc/self/net/dev'], { signal });
    return { id, status: 'ok', summary: `${what} can be made` };
  } catch (error) {
    if (!hasCode(error, 'HOST_COMMAND_FAILED', 'HOST_TOOL_MISSING')) throw error;
    const reason = SWITCHES.find(([path, value]) => read(path) === value);
    const fix = reason?.[2] ?? 'allow user namespaces (seccomp and AppArmor profiles of containers refuse them)';
    return { id, status: bad, summary: `${what} cannot be made: ${error.message}`, fix };
  }
}

function tun(bad: 'fail' | 'warn'): Diagnosis {
  const id = 'rootless.tun';
  const path = '/dev/net/tun';
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return { id, status: 'ok', summary: `${path} can be opened by this user` };
  } catch (error) {
    const absent = (error as NodeJS.ErrnoException).code === 'ENOENT';
    const fix = absent
      ? 'modprobe tun; in a container: --device /dev/net/tun'
      : `chmod 0666 ${path}, as most systems have it`;
    const summary = `${path} ${absent ? 'is not there' : 'cannot be opened by this user'}: taps need it`;
    return { id, status: bad, summary, fix };
  }
}

async function slirp(): Promise<Diagnosis> {
  const id = 'rootless.slirp4netns';
  const path = await findProgram('slirp4netns', process.env.PATH ?? '');
  if (path) return { id, status: 'ok', summary: path };
  const fix = 'install slirp4netns, or leave it to the first command with --rootless where apt is';
  return { id, status: 'warn', summary: 'slirp4netns is not in PATH: it is unpacked when it is needed', fix };
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return undefined;
  }
}
