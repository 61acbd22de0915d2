import type { UserCallOptions } from '../core/calls.js';
import type { TemplateInput, TemplateStatus, Templates } from '../core/template/types.js';
import { only } from './remote-pods.js';
import { part, type Transport } from './transport.js';

/** It may build an image first; the daemon has deadlines of its own. */
const CREATE_TIMEOUT_MS = 40 * 60_000;

/** The daemon's templates. */
export class RemoteTemplates implements Templates {
  constructor(private readonly transport: Transport) {}

  create(
    template: TemplateInput,
    options: UserCallOptions & { readonly replace?: boolean } = {},
  ): Promise<TemplateStatus> {
    const { replace } = options;
    const call = { timeoutMs: CREATE_TIMEOUT_MS, ...only(options), query: { replace }, body: template ?? null };
    return this.transport.json('POST', '/v1/templates', call);
  }
  list(options: UserCallOptions = {}): Promise<readonly TemplateStatus[]> {
    return this.transport.json('GET', '/v1/templates', only(options));
  }
  inspect(name: string, options: UserCallOptions = {}): Promise<TemplateStatus> {
    return this.transport.json('GET', `/v1/templates/${part(name)}`, only(options));
  }
  async remove(name: string, options: UserCallOptions = {}): Promise<void> {
    await this.transport.json('DELETE', `/v1/templates/${part(name)}`, only(options));
  }
}
