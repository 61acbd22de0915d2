import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { abortError, throwIfAborted, withDeadline } from '../../../core/calls.js';
import { type ConfinementTools, confinedArgv, spawnConfined } from '../../../host/confined-spawn.js';
import { killProcess } from '../../../host/process.js';
import { keyval } from '../keyval.js';
import { PROBE_EXIT_CODE, PROBE_EXIT_PORT, probeGuest } from './probe-guest.js';
import type { KvmVerdict } from './verdict.js';

export interface ProbeRequest {
  readonly qemuPath: string;
  readonly qemuEnv: Readonly<Record<string, string>>;
  readonly firmwareArgs: readonly string[];
  readonly tools: ConfinementTools;
  readonly accelerator: 'kvm' | 'tcg';
  readonly machine: 'q35' | 'pc';
  readonly cpuModel: string;
  /** Boot this kernel, which has to give up by itself; undefined: the test guest. */
  readonly kernelPath: string | undefined;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** A kernel that boots has more to do than the test guest. */
const KERNEL_TIMEOUT_FACTOR = 5;
const KILL_TIMEOUT_MS = 5_000;
const MIB = 1024 * 1024;

/**
 * Runs one guest under the accelerator and tells what was seen. The test guest has a few hundred bytes and reports by QEMU's
 * exit code. A real kernel, without a root file system, panics and resets when it has come through its whole boot.
 * @throws ABORTED, TIMEOUT by the signal.
 */
export async function probe(request: ProbeRequest): Promise<KvmVerdict> {
  const { accelerator, cpuModel, timeoutMs, kernelPath } = request;
  if (kernelPath !== undefined) {
    const limit = timeoutMs * KERNEL_TIMEOUT_FACTOR;
    const run = await runGuest(request, limit, [
      ...['-kernel', kernelPath, '-append', 'panic=-1 quiet cryptomgr.notests', '-m', '128M'],
    ]);
    if (run.exitCode !== 0) return { works: false, cpuModel, reason: `the kernel ${describe(run, limit)}` };
    return { works: true, cpuModel, reason: `a test guest ran and the kernel booted under ${accelerator}` };
  }
  const directory = await mkdtemp(join(tmpdir(), 'hyperplug-probe-'));
  try {
    const guest = join(directory, 'guest.elf');
    await writeFile(guest, probeGuest(), { mode: 0o600 });
    const run = await runGuest(request, timeoutMs, [
      ...['-kernel', guest, '-m', '64M'],
      ...['-device', keyval('isa-debug-exit', { iobase: PROBE_EXIT_PORT, iosize: 4 })],
    ]);
    const works = run.exitCode === PROBE_EXIT_CODE;
    return { works, cpuModel, reason: works ? 'a test guest ran' : `a test guest ${describe(run, timeoutMs)}` };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

interface GuestRun {
  /** null: it did not end by itself. */
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly stderr: string;
  readonly stuck: boolean;
}

async function runGuest(request: ProbeRequest, timeoutMs: number, args: readonly string[]): Promise<GuestRun> {
  const { signal, tools } = request;
  throwIfAborted(signal, 'KVM probe');
  const argv = [
    request.qemuPath,
    ...['-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none'],
    ...['-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny'],
    ...request.firmwareArgs,
    ...['-machine', keyval(request.machine, { accel: request.accelerator }), '-cpu', request.cpuModel],
    ...args,
  ];
  const child = await spawnConfined(
    confinedArgv(tools, argv, {
      dieWithParent: true,
      root: process.getuid?.() === 0,
      user: undefined,
      keepCapabilities: [],
      maxFileBytes: MIB,
      env: request.qemuEnv,
    }),
    { stderrFd: undefined, fds: [] },
  );
  let stuck = false;
  const exit = await withDeadline('KVM probe', timeoutMs, signal, async (call) => {
    const aborted = new Promise<undefined>((resolve) => {
      call.signal.addEventListener('abort', () => resolve(undefined), { once: true });
    });
    return await Promise.race([child.exited, aborted]);
  });
  if (!exit) {
    const killing = AbortSignal.timeout(KILL_TIMEOUT_MS);
    await killProcess(child.identity, { signal: killing }).catch(() => {
      stuck = true;
    });
    if (stuck) child.unref();
  }
  if (signal.aborted) throw abortError(signal, 'KVM probe');
  const stderr = child.stderrTail().trim();
  return { exitCode: exit?.exitCode ?? null, signal: exit?.signal ?? null, stderr, stuck };
}

function describe(run: GuestRun, timeoutMs: number): string {
  if (run.stuck) return `made no progress in ${timeoutMs / 1000} s, and its process could not be ended`;
  const words = run.stderr === '' ? '' : `: ${run.stderr.split('\n')[0]}`;
  if (run.signal !== null) return `ended with ${run.signal}${words}`;
  if (run.exitCode === null) return `did not come to its end in ${timeoutMs / 1000} s`;
  return `ended with exit code ${run.exitCode}${words}`;
}
