import type { CallOptions } from '../calls.js';
import type { HyperplugError } from '../errors.js';
import type { GuestImage } from '../guest-image.js';
import type { PodDefaults, PodSpec } from '../pod/spec.js';
import type { PoolClone } from './pool-clone.js';
import type { StoredTemplate } from './store.js';

/** How a pod's VM comes to be. */
export interface BootWay {
  readonly image: GuestImage;
  /** It goes on from this one; undefined: it boots. */
  readonly template?: StoredTemplate;
  /** It is this one, which runs already. */
  readonly clone?: PoolClone;
  /** Called when the pod has started, or has not: what is made for later pods begins then. */
  readonly afterwards?: () => void;
}

/** What pods need of the pool. */
export interface ClonePool {
  /** One that this pod fits, a machine of its own by now; undefined: none is ready, or it wants none. */
  claim(spec: PodSpec, signal: AbortSignal | undefined): Promise<BootWay | undefined>;
  /** Of one that was claimed: nothing of its pod has been made. */
  giveBack(clone: PoolClone): void;
  /** Ends one whose pod came to nothing; returns what failed. */
  discard(clone: PoolClone): Promise<unknown[]>;
}

/** What pods need of templates. */
export interface PodTemplates {
  /** A pod that names a template gets that one's values where it is silent. @throws TEMPLATE_NOT_FOUND, TEMPLATE_STALE. */
  defaultsFor(input: unknown, defaults: PodDefaults): Promise<PodDefaults>;
  /** @throws TEMPLATE_NOT_FOUND, NOT_SUPPORTED, POD_SPEC_INVALID it names one that it does not fit. */
  check(spec: PodSpec): Promise<void>;
  /** A named template that is stale is made anew before this resolves. @throws as check(), and what making one throws. */
  choose(spec: PodSpec, signal: AbortSignal | undefined): Promise<BootWay>;
  /** After a launch from `template` failed with TEMPLATE_STALE or TEMPLATE_NOT_FOUND: `error`, which may be thrown again. */
  chooseAgain(
    spec: PodSpec,
    template: StoredTemplate,
    error: HyperplugError,
    signal: AbortSignal | undefined,
  ): Promise<BootWay>;
  /** Runs `body` while the template's files stay where they are. @throws TEMPLATE_STALE, TEMPLATE_NOT_FOUND. */
  use<T>(template: StoredTemplate, call: CallOptions, body: () => Promise<T>): Promise<T>;
}
