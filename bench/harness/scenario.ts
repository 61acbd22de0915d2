/** What a measured number is. Of rates, the larger is the better; of all else, the smaller. */
export const UNITS = ['ms', 'µs', 'MiB', 'MiB/s', '1/s', 'failures'] as const;
export type Unit = (typeof UNITS)[number];

/** Of ours against another's: at most so many times its cost, or at least so many times faster (or smaller). */
export type Target = { readonly atMost: number } | { readonly timesBetter: number };

/**
 * `floor`: the least that has to be done, without us. `peer`: others' way of doing the same. `reference`: another way of
 * ours, or what the machine does by itself.
 */
export const ROLES = ['floor', 'peer', 'reference'] as const;
export type Role = (typeof ROLES)[number];

/** `run`: one run, which measures itself, in the comparison's unit. `samples`: taken already, side by side. */
export type Contender = { readonly name: string } & (
  | { run(): Promise<number> }
  | { readonly samples: readonly number[] }
);

export type Rival = { readonly role: Role; readonly target?: Target } & (
  | Contender
  | { readonly name: string /** Why it is not measured here. */; readonly missing: string }
);

/** Contenders that do the same, in turn. */
export interface Comparison {
  readonly title: string;
  readonly unit: Unit;
  readonly rounds: number;
  readonly ours: Contender;
  readonly against: readonly Rival[];
  /** What the median of ours shall not exceed. */
  readonly limit?: number;
  /** Default true: each contender runs once before, not counted. */
  readonly warmUp?: boolean;
}

export interface ScenarioContext {
  /** The words after its name. */
  readonly args: readonly string[];
  /** Numbers that those words say, else these. @throws Error a word that is no positive whole number. */
  numbers(...defaults: number[]): number[];
  /** Fires at the scenario's deadline. */
  readonly signal: AbortSignal;
}

/** One file of bench/: its default export. */
export interface Scenario {
  /** What it shows, in one line. */
  readonly shows: string;
  /** Its arguments, as usage shows them. */
  readonly usage?: string;
  /**
   * `host`: as any user runs it. `own`: by root, in network, process and mount namespaces that end with it and take with
   * them whatever was made there.
   */
  readonly place: 'host' | 'own';
  /** Programs without which there is nothing to measure. */
  readonly programs?: readonly string[];
  /** It is killed after this. */
  readonly timeoutMs: number;
  /** Each is measured when it is yielded; what follows, `finally` too, when it has been. */
  comparisons(context: ScenarioContext): AsyncGenerator<Comparison, void>;
}
