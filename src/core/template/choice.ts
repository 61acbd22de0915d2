import type { CallOptions } from '../calls.js';
import type { HyperplugError } from '../errors.js';
import type { GuestImage } from '../guest-image.js';
import type { PodDefaults, PodSpec } from '../pod/spec.js';
import type { StoredTemplate } from './store.js';

/** How a pod's VM comes to be. */
export interface BootWay {
  readonly image: GuestImage;
  /** It goes on from this one; undefined: it boots. */
  readonly template?: StoredTemplate;
  /** Called when the pod has started, or has not: what is made for later pods begins then. */
  readonly afterwards?: () => void;
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
