import type { QmpObject } from './codec.js';

/** The events we act upon, from QEMU's qapi/run-state.json and qapi/qdev.json. Others are passed over. */
export interface QmpEvents {
  SHUTDOWN: { readonly guest: boolean; readonly reason: string };
  POWERDOWN: Record<string, never>;
  RESET: { readonly guest: boolean; readonly reason: string };
  STOP: Record<string, never>;
  RESUME: Record<string, never>;
  GUEST_PANICKED: { readonly action: string };
  /** qapi/migration.json */
  MIGRATION: { readonly status: string };
  DEVICE_DELETED: { readonly device: string | undefined; readonly path: string };
  DEVICE_UNPLUG_GUEST_ERROR: { readonly device: string | undefined; readonly path: string };
}

export type QmpEvent = { [K in keyof QmpEvents]: { readonly name: K; readonly data: QmpEvents[K] } }[keyof QmpEvents];

const none = (): Record<string, never> => ({});
const cause = (data: QmpObject) => ({ guest: data.guest === true, reason: text(data.reason) ?? 'unknown' });
const device = (data: QmpObject) => ({ device: text(data.device), path: text(data.path) ?? '' });

/** Name → decoder of its data. Each accepts what older QEMUs leave out. */
const DECODERS: { readonly [K in keyof QmpEvents]: (data: QmpObject) => QmpEvents[K] } = {
  SHUTDOWN: cause,
  POWERDOWN: none,
  RESET: cause,
  STOP: none,
  RESUME: none,
  GUEST_PANICKED: (data) => ({ action: text(data.action) ?? 'unknown' }),
  MIGRATION: (data) => ({ status: text(data.status) ?? 'unknown' }),
  DEVICE_DELETED: device,
  DEVICE_UNPLUG_GUEST_ERROR: device,
};

export function decodeEvent(name: string, data: QmpObject): QmpEvent | undefined {
  if (!Object.hasOwn(DECODERS, name)) return undefined;
  return { name, data: DECODERS[name as keyof QmpEvents](data) } as QmpEvent;
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
