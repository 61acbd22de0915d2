import type { AgentConnection, ExecSpec, GuestProcess, GuestSession } from '../../../../src/core/agent.js';
import type { CallOptions } from '../../../../src/core/calls.js';
import { HyperstartAgent } from '../../../../src/plugins/hyperstart/agent.js';
import { FakeAgent, type FakeAgentOptions } from '../../../support/fake-agent/peer.js';

export const calls = (timeoutMs = 20_000): CallOptions => ({ signal: AbortSignal.timeout(timeoutMs) });

export function newAgent(): HyperstartAgent {
  return new HyperstartAgent({ nicTimeoutMs: 5_000 });
}

/** A session with a fake guest of this kind. */
export async function connect(
  options: FakeAgentOptions = {},
  connection: Partial<AgentConnection> = {},
): Promise<{ fake: FakeAgent; session: GuestSession }> {
  const fake = new FakeAgent(options);
  const session = await newAgent().connect(
    { channels: fake.channels, creditWindowBytes: null, resumed: false, ...connection },
    calls(),
  );
  return { fake, session };
}

export function command(...argv: string[]): ExecSpec {
  return { argv, env: {}, workingDirectory: '/', terminal: false };
}

export async function text(stream: NodeJS.ReadableStream): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

/** What the process wrote, and how it ended. */
export async function outcome(process: GuestProcess): Promise<{ stdout: string; stderr: string; exitCode: number }> {
  const [stdout, stderr, { exitCode }] = await Promise.all([
    text(process.stdout),
    text(process.stderr),
    process.exited,
  ]);
  return { stdout, stderr, exitCode };
}
