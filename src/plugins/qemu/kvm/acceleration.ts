import { closeSync, openSync, statSync } from 'node:fs';
import { currentBootId } from '../../../host/process.js';
import type { QemuOptions } from '../options.js';
import { type Acceleration, KVM_DEVICE } from './device.js';
import { type ProbeRequest, probe } from './probe.js';
import { fileKey, type KvmVerdict, VerdictStore } from './verdict.js';

/** undefined: it opens. A device that opens need not run a guest. */
export function kvmObstacle(
  device = KVM_DEVICE,
): { readonly kind: 'absent' | 'permission'; readonly reason: string } | undefined {
  try {
    closeSync(openSync(device, 'r+'));
    return undefined;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown error';
    if (code === 'EACCES' || code === 'EPERM') {
      const stats = statSync(device, { throwIfNoEntry: false });
      const owner = stats ? ` (mode 0${(stats.mode & 0o777).toString(8)}, group ${stats.gid})` : '';
      return { kind: 'permission', reason: `${device} exists, but this user may not open it${owner}` };
    }
    if (code === 'ENOENT') return { kind: 'absent', reason: `there is no ${device}` };
    return { kind: 'absent', reason: `${device} cannot be opened: ${code}` };
  }
}

export type ProbeTarget = Omit<ProbeRequest, 'accelerator' | 'machine' | 'cpuModel' | 'timeoutMs'>;

/** Chooses between KVM and TCG, and remembers per boot of the host, QEMU and kernel what a probe has shown. */
export class AccelerationChooser {
  readonly #store: VerdictStore;
  /** Probes under way and done in this process. */
  readonly #known = new Map<string, Promise<KvmVerdict>>();

  constructor(
    private readonly options: QemuOptions,
    cacheDir: string | undefined,
    private readonly runProbe: typeof probe = probe,
    private readonly obstacle: typeof kvmObstacle = kvmObstacle,
  ) {
    this.#store = new VerdictStore(cacheDir, currentBootId());
  }

  /** @throws ABORTED, TIMEOUT. */
  async choose(target: ProbeTarget): Promise<Acceleration> {
    const { acceleration, cpuModel } = this.options;
    if (acceleration !== 'auto') {
      return { accelerator: acceleration, cpuModel, reason: `acceleration: ${acceleration}` };
    }
    const obstacle = this.obstacle();
    if (obstacle) return { accelerator: 'tcg', cpuModel, reason: obstacle.reason, obstacle: obstacle.kind };
    let verdict = await this.#verdict({ ...target, kernelPath: undefined }, cpuModel);
    if (verdict.works && target.kernelPath !== undefined) verdict = await this.#verdict(target, verdict.cpuModel);
    if (verdict.works) return { accelerator: 'kvm', cpuModel: verdict.cpuModel, reason: verdict.reason };
    return {
      accelerator: 'tcg',
      cpuModel,
      reason: `${KVM_DEVICE} exists, but ${verdict.reason}`,
      obstacle: 'broken',
    };
  }

  async #verdict(target: ProbeTarget, cpuModel: string): Promise<KvmVerdict> {
    const { machine } = this.options;
    const kernel = target.kernelPath === undefined ? '' : fileKey(target.kernelPath);
    const key = [fileKey(target.qemuPath), kernel, machine, cpuModel].join('|');
    const known = this.#known.get(key);
    if (known) {
      // Another call's probe may be aborted with that call: then this one makes its own.
      const verdict = await known.catch(() => undefined);
      if (verdict) return verdict;
    }
    const verdict = this.#remembered(key).then((found) => found ?? this.#probe(key, target, cpuModel));
    this.#known.set(key, verdict);
    verdict.catch(() => {
      if (this.#known.get(key) === verdict) this.#known.delete(key);
    });
    return verdict;
  }

  async #remembered(key: string): Promise<KvmVerdict | undefined> {
    return this.options.kvmVerdict === 'remember' ? this.#store.get(key) : undefined;
  }

  async #probe(key: string, target: ProbeTarget, cpuModel: string): Promise<KvmVerdict> {
    const { machine, kvmProbeTimeoutMs } = this.options;
    const attempt = (model: string) =>
      this.runProbe({ ...target, accelerator: 'kvm', machine, cpuModel: model, timeoutMs: kvmProbeTimeoutMs });
    let verdict = await attempt(cpuModel);
    // QEMU 7.2 dies where the host offers the MSR of arch-capabilities without taking a write to it ("MSR 0x10a").
    if (!verdict.works && verdict.reason.includes('0x10a')) verdict = await attempt(`${cpuModel},-arch-capabilities`);
    await this.#store.put(key, verdict);
    return verdict;
  }
}
