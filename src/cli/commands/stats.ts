import { setTimeout as delay } from 'node:timers/promises';
import { abortError } from '../../core/calls.js';
import { hasCode } from '../../core/errors.js';
import type { PodStats, Pods } from '../../core/pod/pods-api.js';
import { type PodRates, podRates } from '../../core/pod/stats-rates.js';
import type { CommandContext } from '../context.js';
import { EXIT } from '../errors.js';
import { bytesText } from '../pod-text.js';
import { table } from '../text.js';

export interface StatsOptions {
  readonly watch?: boolean;
  readonly interval: number;
}

interface Reading {
  readonly pod: string;
  readonly stats: PodStats;
  readonly rates: PodRates;
}

const HEADER = ['POD', 'CPU', 'MEMORY', 'GUEST CPU', 'GUEST MEMORY', 'RECEIVED', 'SENT', 'PROCESSES'];
const CLEAR = '\x1b[H\x1b[J';

/** Rates of two readings; again and again with --watch. With --json one object a pod and line. */
export function execute(context: CommandContext, podIds: readonly string[], options: StatsOptions): Promise<number> {
  return context.withHyperplug(async ({ pods }) => {
    const { stdout } = context.io;
    let before = await read(context, pods, podIds);
    for (;;) {
      await pause(context, options.interval);
      const after = await read(context, pods, podIds);
      const readings = [...after].map(([pod, stats]): Reading => {
        return { pod, stats, rates: podRates(before.get(pod) ?? stats, stats) };
      });
      context.progress.stop();
      const text = context.common.json
        ? readings.map((reading) => `${JSON.stringify(reading)}\n`).join('')
        : `${options.watch && stdout.isTerminal ? CLEAR : ''}${table(HEADER, readings.map(row))}`;
      if (!(await stdout.write(text)) || !options.watch) return EXIT.ok;
      before = after;
    }
  });
}

/** Of those that were named; else of all that run. One that ends meanwhile is left out of all. */
async function read(context: CommandContext, pods: Pods, podIds: readonly string[]): Promise<Map<string, PodStats>> {
  const named = podIds.length > 0;
  const running = () => pods.list({ ...context.call, filter: { states: ['running', 'paused'] } });
  const ids = named ? [...new Set(podIds)] : (await running()).map(({ id }) => id);
  const stats = await Promise.all(
    ids.map(async (id) => {
      const found = await pods.stats(id, context.call).catch((error: unknown) => {
        if (named || !hasCode(error, 'POD_NOT_FOUND', 'POD_NOT_RUNNING')) throw error;
      });
      return found ? ([[id, found]] as const) : [];
    }),
  );
  return new Map(stats.flat());
}

async function pause({ interrupts }: CommandContext, ms: number): Promise<void> {
  await delay(ms, undefined, { signal: interrupts.signal }).catch(() => {
    throw abortError(interrupts.signal, 'stats');
  });
}

function row({ pod, stats: { host, guest }, rates }: Reading): string[] {
  const percent = (value: number) => `${value.toFixed(1)}%`;
  return [
    pod,
    percent(rates.hostCpuPercent),
    bytesText(host.memoryPssBytes),
    rates.guestCpuPercent === null ? '-' : percent(rates.guestCpuPercent),
    guest
      ? `${bytesText(guest.memoryTotalBytes - guest.memoryAvailableBytes)} / ${bytesText(guest.memoryTotalBytes)}`
      : '-',
    `${bytesText(rates.receivedBytesPerSecond)}/s`,
    `${bytesText(rates.sentBytesPerSecond)}/s`,
    guest ? String(guest.processes) : '-',
  ];
}
