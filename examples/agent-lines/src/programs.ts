import { type CallOptions, type ExecSpec, type GuestProcess, HyperplugError } from 'hyperplug';

const MAX_STDERR_BYTES = 4096;
const PATH = '/usr/sbin:/usr/bin:/sbin:/bin';

export type Exec = (spec: ExecSpec, options: CallOptions) => Promise<GuestProcess>;

export interface RunOptions {
  readonly input?: Uint8Array;
  /** More output than this is refused. */
  readonly maxBytes?: number;
}

/**
 * Runs a program of the guest to its end, by argv.
 * @throws AGENT_REFUSED it failed, with what it said as the reason; or it said too much.
 */
export async function run(
  exec: Exec,
  argv: readonly string[],
  options: CallOptions,
  { input, maxBytes = 1 << 20 }: RunOptions = {},
): Promise<Buffer> {
  const process = await exec({ argv, env: { PATH, LC_ALL: 'C' }, workingDirectory: '/', terminal: false }, options);
  const onAbort = () => void process.kill(9, { signal: AbortSignal.timeout(5_000) }).catch(() => {});
  options.signal.addEventListener('abort', onAbort, { once: true });
  try {
    process.stdin.on('error', () => {});
    process.stdin.end(input ?? '');
    const [stdout, stderr, { exitCode }] = await Promise.all([
      collect(process.stdout, maxBytes),
      collect(process.stderr, MAX_STDERR_BYTES),
      process.exited,
    ]);
    if (options.signal.aborted) throw options.signal.reason;
    if (stdout.tooMuch) throw refused(`${argv[0]}: more than ${maxBytes} bytes`);
    if (exitCode !== 0) throw refused(stderr.bytes.toString('utf8').trim() || `${argv[0]}: exit code ${exitCode}`);
    return stdout.bytes;
  } finally {
    options.signal.removeEventListener('abort', onAbort);
  }
}

export const refused = (reason: string) =>
  new HyperplugError('AGENT_REFUSED', `the guest refused: ${reason}`, { details: { reason } });

async function collect(stream: GuestProcess['stdout'], maxBytes: number) {
  const chunks: Buffer[] = [];
  let size = 0;
  let tooMuch = false;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    if (size + chunk.length > maxBytes) tooMuch = true;
    else chunks.push(chunk);
    if (!tooMuch) size += chunk.length;
  }
  return { bytes: Buffer.concat(chunks), tooMuch };
}
