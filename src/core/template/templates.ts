import type { UserCallOptions } from '../calls.js';
import type { TemplateEngine } from './engine.js';
import type { Pool, PoolStatus, TemplateInput, TemplateStatus, Templates } from './types.js';

/** Templates by the engine in this process, whose plugins are started first. */
export class EngineTemplates implements Templates {
  constructor(private readonly engine: (options: UserCallOptions) => Promise<TemplateEngine>) {}

  async create(
    template: TemplateInput,
    options: UserCallOptions & { readonly replace?: boolean } = {},
  ): Promise<TemplateStatus> {
    return (await this.engine(options)).create(template, options);
  }
  async list(options: UserCallOptions = {}): Promise<readonly TemplateStatus[]> {
    return (await this.engine(options)).list(options);
  }
  async inspect(name: string, options: UserCallOptions = {}): Promise<TemplateStatus> {
    return (await this.engine(options)).inspect(name, options);
  }
  async remove(name: string, options: UserCallOptions = {}): Promise<void> {
    return (await this.engine(options)).remove(name, options);
  }
}

/** The pool of the engine in this process. */
export class EnginePool implements Pool {
  constructor(private readonly pool: (options: UserCallOptions) => Promise<Pool>) {}

  async status(options: UserCallOptions = {}): Promise<PoolStatus> {
    return (await this.pool(options)).status(options);
  }
  async fill(options: UserCallOptions & { readonly size?: number } = {}): Promise<PoolStatus> {
    return (await this.pool(options)).fill(options);
  }
  async drain(options: UserCallOptions = {}): Promise<PoolStatus> {
    return (await this.pool(options)).drain(options);
  }
}
