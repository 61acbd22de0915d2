import { headStart } from '../../host/head-start.js';
import type { CommandContext } from '../context.js';
import { usageError } from '../errors.js';
import { parseLabels } from '../parse/env.js';
import type { NicText } from '../parse/nic.js';
import type { PublishedPort } from '../parse/ports.js';
import { runSession } from '../session/session.js';
import { execRequest, planStreams, type StreamOptions, type StreamPlan } from '../session/streams.js';
import { json } from '../text.js';

export interface RunOptions extends StreamOptions {
  readonly env: readonly string[];
  readonly workdir?: string;
  readonly user?: string;
  readonly memory?: number;
  readonly cpus?: number;
  readonly publish: readonly PublishedPort[];
  readonly name?: string;
  readonly label: readonly string[];
  readonly timeout?: number;
  readonly keep?: boolean;
  readonly network?: string;
  readonly template?: string;
  readonly nic: readonly NicText[];
}

/** What runs when nothing is said, on a terminal. */
const SHELL = ['/bin/sh'];

export async function execute(context: CommandContext, argv: readonly string[], options: RunOptions): Promise<number> {
  const { io } = context;
  const shell = argv.length === 0;
  const streams = shell ? shellStreams(context, options) : planStreams(io, options);
  const request = execRequest(io, shell ? SHELL : argv, streams, options);
  const spec = podSpec(options);
  let kept: string | undefined;
  try {
    return await context.withHyperplug(async (hyperplug) => {
      const pod = await hyperplug.createPod({ ...spec, ...begunAhead(options) }, context.call);
      if (options.keep) kept = pod.id;
      return await runSession(context, pod, {
        request,
        forwardStdin: streams.forwardStdin,
        timeoutMs: options.timeout,
        podStays: options.keep === true,
      });
    });
  } finally {
    if (kept !== undefined) {
      if (context.common.json) io.stderr.print(json({ kept }));
      else {
        // Its hypervisor alone can reach it, from the network it is in.
        const { driver, rootless } = context.common;
        const flags = [...(rootless ? ['--rootless'] : []), ...(driver === undefined ? [] : ['--driver', driver])];
        const which = [...flags, kept].join(' ');
        context.say(`pod ${kept} is kept: hyperplug exec ${which} COMMAND, hyperplug rm ${which}`);
      }
    }
  }
}

/** @throws CLI_USAGE */
function shellStreams(context: CommandContext, options: RunOptions): StreamPlan {
  const { io } = context;
  if (options.stdin === false || io.stdinKind() !== 'terminal' || !io.stdout.isTerminal) {
    throw usageError('no command was given, and a shell needs a terminal', 'hyperplug run -- COMMAND [ARGS…]');
  }
  return { forwardStdin: true, terminal: true };
}

/** In the words of a pod specification. */
function podSpec(options: RunOptions): Record<string, unknown> {
  return {
    ...(options.name === undefined ? {} : { id: options.name }),
    resource: {
      ...(options.cpus === undefined ? {} : { vcpu: options.cpus }),
      ...(options.memory === undefined ? {} : { memory: options.memory }),
    },
    ...(options.network === undefined ? {} : { network: options.network }),
    ...(options.template === undefined ? {} : { template: options.template }),
    ...(options.nic.length === 0 ? {} : { interfaces: options.nic }),
    portmappings: options.publish,
    labels: parseLabels(options.label),
    keep: options.keep === true,
    // A slot costs boot time, and nobody adds a NIC to a pod that ends with its command.
    ...(options.keep === true ? {} : { nicSlots: 0 }),
  };
}

/** What a pod has to be to go on with the VM that was begun for it, if this process still has one. */
function begunAhead({ name, nic }: RunOptions): Record<string, unknown> {
  const ahead = name === undefined && nic.length === 0 ? headStart() : undefined;
  if (!ahead) return {};
  const { podId: id, macs } = ahead;
  return { id, ...(macs.length > 0 && { interfaces: macs.map((mac) => ({ mac })) }) };
}
