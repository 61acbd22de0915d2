import type { ProgressSink } from '../core/progress.js';

/** A program of the host that is ready to be run. */
export interface Tool {
  readonly name: string;
  /** Absolute path. */
  readonly path: string;
  /** Where it came from: the machine's PATH, a configured path, or Debian packages unpacked into our cache. */
  readonly origin: 'path' | 'configured' | 'unpacked';
  /** Must be added to the environment for it to find its libraries and modules; empty unless unpacked. */
  readonly env: Readonly<Record<string, string>>;
  /** The folder its packages were unpacked into (`ROOT/usr/share/…`), where they were. */
  readonly root?: string;
}

/** Finds a program and, where the machine lacks it, provides it without touching the system. */
export interface ToolProvider {
  /** @throws HOST_TOOL_MISSING with what was tried. */
  locate(name: string, options: { readonly signal: AbortSignal; readonly progress: ProgressSink }): Promise<Tool>;
}
