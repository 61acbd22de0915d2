export interface Acceleration {
  readonly accelerator: 'kvm' | 'tcg';
  readonly cpuModel: string;
  /** Why this one, for people. */
  readonly reason: string;
  /** With `auto`: what kept KVM from being taken. */
  readonly obstacle?: 'absent' | 'permission' | 'broken';
}

export const KVM_DEVICE = '/dev/kvm';
