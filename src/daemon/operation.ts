import type { z } from 'zod';
import type { UserCallOptions } from '../core/calls.js';
import type { PluginLogger } from '../core/plugin.js';
import type { Hyperplug, NetworkReport } from '../core/pod/types.js';
import type { PodKeeper } from './keeper.js';
import type { Metrics } from './metrics.js';
import type { Requests } from './requests.js';
import type { Session, Sessions } from './sessions.js';

/** What the operations work with. */
export interface Services {
  readonly hyperplug: Hyperplug;
  readonly keeper: PodKeeper;
  readonly sessions: Sessions;
  readonly requests: Requests;
  readonly metrics: Metrics;
  readonly logger: PluginLogger;
  readonly version: string;
  /** ISO 8601. */
  readonly startedAt: string;
  /** `starting`: networks and running pods are being seen to. */
  readonly state: () => 'starting' | 'ready' | 'stopping';
  /** Why it is not `ready`, in words. */
  readonly troubles: () => readonly string[];
  readonly connections: () => number;
  /** Not older than some seconds: a look at networks runs programs. */
  readonly networks: () => Promise<readonly NetworkReport[]>;
}

export interface Context extends Services {
  /** To hand on: its signal fires when the client goes away or cancels. */
  readonly call: UserCallOptions & { readonly signal: AbortSignal };
  readonly requestId: string;
  /** Of the `hyperplug-session` header. */
  readonly session: Session | undefined;
}

/** How an answer is sent. */
export type Answer =
  | { readonly kind: 'json'; readonly schema: z.ZodType }
  /** One JSON value a line, as they come; an error that comes late is the last line, `{"error":…}`. */
  | { readonly kind: 'lines'; readonly schema: z.ZodType }
  /** Bytes as they come; an error that comes late is in the trailer `hyperplug-error`. */
  | { readonly kind: 'bytes'; readonly contentType: string };

export interface Operation {
  readonly id: string;
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** As OpenAPI has it: `/v1/pods/{id}`. */
  readonly path: string;
  readonly tag: string;
  readonly summary: string;
  readonly description?: string;
  readonly params?: z.ZodType;
  readonly query?: z.ZodType;
  readonly body?: z.ZodType;
  /** The body is bytes, at most so many. */
  readonly maxBodyBytes?: number;
  readonly answer: Answer;
  /** Default 200. */
  readonly status?: number;
  /** It may last as long as its client likes, and counts among the streams. */
  readonly stream?: boolean;
  /** Answered while the daemon starts or ends, too. */
  readonly always?: boolean;
  handle(context: Context, input: { params: unknown; query: unknown; body: unknown }): Promise<unknown>;
}

/** An answer with another status than the operation's own. */
export class WithStatus {
  constructor(
    readonly status: number,
    readonly value: unknown,
  ) {}
}

type Parsed<T> = T extends z.ZodType ? z.output<T> : undefined;

/** Ties the types of a handler to its schemas. */
export function operation<
  P extends z.ZodType | undefined = undefined,
  Q extends z.ZodType | undefined = undefined,
  B extends z.ZodType | undefined = undefined,
>(
  definition: Omit<Operation, 'params' | 'query' | 'body' | 'handle'> & {
    readonly params?: P;
    readonly query?: Q;
    readonly body?: B;
    handle(
      context: Context,
      input: { params: Parsed<P>; query: Parsed<Q>; body: B extends z.ZodType ? z.output<B> : Buffer },
    ): Promise<unknown>;
  },
): Operation {
  return definition as unknown as Operation;
}
