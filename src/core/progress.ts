/** Where long work tells how far it is. The command line draws it on a terminal and prints plain lines elsewhere. */
export interface ProgressSink {
  begin(label: string): ProgressTask;
}

export interface ProgressTask {
  /** `total` undefined: unknown. `unit` as shown: `MB`, `packages`. May be called often. */
  update(done: number, total: number | undefined, unit: string): void;
  /** Ends the task; `note` says what came of it. */
  done(note?: string): void;
  fail(note: string): void;
}

export const silentProgress: ProgressSink = { begin: () => ({ update() {}, done() {}, fail() {} }) };
