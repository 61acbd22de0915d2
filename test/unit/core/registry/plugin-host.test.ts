import { expect } from 'chai';
import type { CallOptions } from '../../../../src/core/calls.js';
import { HyperplugError } from '../../../../src/core/errors.js';
import {
  HOST_TOKENS,
  PLUGIN_KINDS,
  type PluginKind,
  type PluginLogger,
  type PluginRegistration,
  TOKENS,
} from '../../../../src/core/plugin.js';
import { PluginHost, type PluginHostOptions } from '../../../../src/core/registry/plugin-host.js';
import { PluginRegistry } from '../../../../src/core/registry/registry.js';
import { FAKE_CHOICE, fakePlugin, fakePlugins, fakeService } from '../../../support/fake-plugins.js';
import { rejects } from '../../../support/rejects.js';

const hostOf = (plugins: readonly unknown[], options?: PluginHostOptions) =>
  new PluginHost(new PluginRegistry(plugins).select(FAKE_CHOICE), options);

/** A host of fakes; `services` changes members of those of some kinds. */
function fakeHost(services: Partial<Record<PluginKind, object>> = {}, options?: PluginHostOptions) {
  const log: string[] = [];
  const changed = Object.entries(services).map(([kind, members]) => [
    kind,
    { ...fakeService(kind as PluginKind, 'fake', log), ...members },
  ]);
  return { log, host: hostOf(fakePlugins(log, Object.fromEntries(changed)), options) };
}

const starts = PLUGIN_KINDS.map((kind) => `start ${kind}`);
const stops = [...PLUGIN_KINDS].reverse().map((kind) => `stop ${kind}`);
const never = () => new Promise<void>(() => {});
const boom = (message: string) => async () => Promise.reject(new Error(message));

describe('PluginHost: order', () => {
  it('starts in the order of the kinds and stops in reverse', async () => {
    const { log, host } = fakeHost();
    const services = await host.start();
    expect(services).to.have.all.keys([...PLUGIN_KINDS]).and.to.be.frozen;
    expect(host.services).to.equal(services);
    expect(log).to.deep.equal(starts);
    await host.stop();
    expect(log).to.deep.equal([...starts, ...stops]);
  });

  it('does one at a time', async () => {
    let running = 0;
    let most = 0;
    const slow = async () => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setImmediate(resolve));
      running -= 1;
    };
    const members = { start: slow, stop: slow };
    const { host } = fakeHost(Object.fromEntries(PLUGIN_KINDS.map((kind) => [kind, members])));
    await host.start();
    await host.stop();
    expect(most).to.equal(1);
  });

  it('is content with services that have neither start nor stop', async () => {
    const bare = { start: undefined, stop: undefined };
    const { log, host } = fakeHost({ network: bare });
    await host.start();
    await host.stop();
    expect(log).to.have.length(10);
  });

  it('starts once and stops once, however often it is asked', async () => {
    const { log, host } = fakeHost();
    const both = [host.start(), host.start()] as const;
    expect(await both[0]).to.equal(await both[1]);
    await Promise.all([host.stop(), host.stop()]);
    await host.stop();
    expect(log).to.have.length(12);
  });

  it('logs each start', async () => {
    const lines: unknown[] = [];
    const logger = {
      debug: (fields: object, message: string) => lines.push([message, fields]),
    } as unknown as PluginLogger;
    await fakeHost({}, { logger }).host.start();
    expect(lines).to.have.length(6);
    expect((lines[0] as [string, object])[1]).to.include({ plugin: 'fake', component: 'plugins' });
  });

  it('has no services before it has started, and no way back from stopped', async () => {
    const { log, host } = fakeHost();
    expect(() => host.services).to.throw(TypeError, 'not been started');
    await host.stop();
    expect(() => host.start()).to.throw(TypeError, 'stopped');
    expect(log).to.deep.equal([]);
  });
});

describe('PluginHost: failure', () => {
  it('stops what had started, in reverse, and names the plugin that failed', async () => {
    const { log, host } = fakeHost({ network: { start: boom('no bridge') } });
    const message = 'network plugin fake (built in): start failed: no bridge';
    const error = await rejects(host.start(), 'PLUGIN_START_FAILED', message);
    expect(error.details).to.include({ plugin: 'fake', kind: 'network', source: 'built in' });
    expect((error.cause as Error).message).to.equal('no bridge');
    expect(log).to.deep.equal([...starts.slice(0, 3), 'stop firewall', 'stop address-pool', 'stop state']);
    expect(await rejects(host.start(), 'PLUGIN_START_FAILED')).to.equal(error);
    await host.stop();
    expect(log).to.have.length(6);
  });

  it('reports a failure to stop as well, the reason first', async () => {
    const { log, host } = fakeHost({
      network: { start: boom('first') },
      'address-pool': { stop: boom('second') },
      state: { stop: boom('third') },
    });
    const error = await rejects(host.start(), 'PLUGIN_START_FAILED', 'first', 'second', 'third');
    expect(error.errors.map((each) => (each as HyperplugError).code)).to.deep.equal([
      'PLUGIN_START_FAILED',
      'PLUGIN_STOP_FAILED',
      'PLUGIN_STOP_FAILED',
    ]);
    expect(log.at(-1)).to.equal('stop firewall');
  });

  it('goes on past failures to stop, and reports each', async () => {
    const { log, host } = fakeHost({ hypervisor: { stop: boom('one') }, agent: { stop: boom('two') } });
    await host.start();
    const error = await rejects(
      host.stop(),
      'PLUGIN_STOP_FAILED',
      'hypervisor plugin fake',
      'one',
      'agent plugin fake',
      'two',
    );
    expect(error.errors).to.have.length(2);
    expect(log.slice(6)).to.deep.equal(stops.slice(2));
    expect(await rejects(host.stop(), 'PLUGIN_STOP_FAILED')).to.equal(error);
  });

  it('takes a method that throws at once like one that rejects', async () => {
    const thrower = () => {
      throw new Error('at once');
    };
    await rejects(fakeHost({ state: { start: thrower } }).host.start(), 'PLUGIN_START_FAILED', 'at once');
    const { log, host } = fakeHost({ hypervisor: { stop: thrower } });
    await host.start();
    await rejects(host.stop(), 'PLUGIN_STOP_FAILED', 'at once');
    expect(log.at(-1)).to.equal('stop state');
  });
});

describe('PluginHost: deadlines and aborts', () => {
  it('names the plugin whose start hangs, and stops the others', async () => {
    const { log, host } = fakeHost({ agent: { start: never } }, { startTimeoutMs: 20 });
    await rejects(host.start(), 'TIMEOUT', 'agent plugin fake (built in): start', '20 ms');
    expect(log.slice(4)).to.deep.equal(['stop network', 'stop firewall', 'stop address-pool', 'stop state']);
  });

  it('names the plugin whose stop hangs, and stops the others', async () => {
    const { log, host } = fakeHost({ agent: { stop: never } }, { stopTimeoutMs: 20 });
    await host.start();
    await rejects(host.stop(), 'TIMEOUT', 'agent plugin fake (built in): stop', '20 ms');
    expect(log.slice(6)).to.deep.equal(stops.filter((each) => each !== 'stop agent'));
  });

  it('waits for a plugin that undoes its start when its signal fires', async () => {
    let undone = false;
    const start = ({ signal }: CallOptions) =>
      new Promise<void>((_, reject) => {
        signal.addEventListener('abort', () => {
          setTimeout(() => {
            undone = true;
            reject(signal.reason as Error);
          }, 20);
        });
      });
    const { host } = fakeHost({ agent: { start } }, { startTimeoutMs: 20 });
    await rejects(host.start(), 'TIMEOUT', 'agent plugin fake');
    expect(undone).to.equal(true);
  });

  it('stops a plugin whose start comes to its end after it was given up', async () => {
    let finish = () => {};
    const late = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const { log, host } = fakeHost({ agent: { start: () => late } }, { startTimeoutMs: 20 });
    await rejects(host.start(), 'TIMEOUT');
    expect(log).not.to.include('stop agent');
    finish();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(log).to.include('stop agent');
  });

  it('starts nothing for a caller that has gone', async () => {
    const { log, host } = fakeHost();
    await rejects(host.start({ signal: AbortSignal.abort() }), 'ABORTED');
    expect(log).to.deep.equal([]);
  });

  it('passes the caller’s reason on, and stops what had started', async () => {
    const controller = new AbortController();
    const reason = new HyperplugError('TIMEOUT', 'the caller is out of time');
    const start = async ({ signal }: CallOptions) => {
      controller.abort(reason);
      signal.throwIfAborted();
    };
    const { log, host } = fakeHost({ firewall: { start } });
    expect(await rejects(host.start({ signal: controller.signal }), 'TIMEOUT')).to.equal(reason);
    expect(log.slice(2)).to.deep.equal(['stop address-pool', 'stop state']);
  });

  it('aborts a start that is under way when it is stopped, and leaves nothing started', async () => {
    const hanging = ({ signal }: CallOptions) =>
      new Promise<void>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
    const { log, host } = fakeHost({ network: { start: hanging } });
    const starting = rejects(host.start(), 'ABORTED');
    await new Promise((resolve) => setTimeout(resolve, 5));
    await host.stop();
    await starting;
    expect(log.filter((line) => line.startsWith('stop'))).to.deep.equal([
      'stop firewall',
      'stop address-pool',
      'stop state',
    ]);
  });

  it('asks every plugin to stop even when the caller has gone', async () => {
    const { log, host } = fakeHost();
    await host.start();
    await host.stop({ signal: AbortSignal.abort() });
    expect(log.slice(6)).to.deep.equal(stops);
  });
});

describe('PluginHost: what a plugin binds', () => {
  const others = (kind: PluginKind) => fakePlugins().filter((each) => each.kind !== kind);
  const registering = (register: unknown, kind: PluginKind = 'agent') => [
    ...others(kind),
    { ...fakePlugin(kind), register },
  ];

  it('injects services into each other, and those of the composition root', async () => {
    const seen: unknown[] = [];
    const plugins = registering(({ bind }: PluginRegistration) => {
      bind<unknown>(TOKENS.network)
        .toResolvedValue(
          (firewall: unknown, paths: unknown) => {
            seen.push(firewall, paths);
            return fakeService('network', 'fake');
          },
          [TOKENS.firewall, HOST_TOKENS.paths],
        )
        .inSingletonScope();
    }, 'network');
    const paths = { cacheDir: '/c', stateDir: '/s', runtimeDir: '/r' };
    const host = hostOf(plugins, { bindings: [{ token: HOST_TOKENS.paths, value: paths }] });
    const { firewall } = await host.start();
    expect(seen).to.deep.equal([firewall, paths]);
  });

  it('takes factories that are asynchronous, also where they are injected', async () => {
    const firewall = fakeService('firewall', 'fake');
    const plugins = [
      ...fakePlugins().filter(({ kind }) => kind !== 'firewall' && kind !== 'network'),
      {
        ...fakePlugin('firewall'),
        register: ({ bind }: PluginRegistration) =>
          void bind<unknown>(TOKENS.firewall)
            .toDynamicValue(async () => firewall)
            .inSingletonScope(),
      },
      {
        ...fakePlugin('network'),
        register: ({ bind }: PluginRegistration) =>
          void bind<unknown>(TOKENS.network)
            .toResolvedValue(
              (injected: unknown) => ({ ...fakeService('network', 'fake'), injected }),
              [TOKENS.firewall],
            )
            .inSingletonScope(),
      },
    ];
    const services = await hostOf(plugins).start();
    expect((services.network as unknown as { injected: unknown }).injected).to.equal(firewall);
  });

  it('gives register() the options that were parsed', async () => {
    const seen: unknown[] = [];
    const plugin = fakePlugin('agent');
    const register = (registration: PluginRegistration, options: unknown) => {
      seen.push(options);
      (plugin.register as (registration: PluginRegistration) => void)(registration);
    };
    await hostOf(registering(register)).start();
    expect(seen).to.deep.equal([{}]);
    expect(seen[0]).to.be.frozen;
  });

  const service = () => fakeService('agent', 'fake');
  const dynamic = (make: () => unknown) => (registration: PluginRegistration) =>
    void registration.bind<unknown>(TOKENS.agent).toDynamicValue(make).inSingletonScope();
  const wrong: readonly [string, unknown, Parameters<typeof rejects>[1], ...string[]][] = [
    [
      'binds nothing',
      () => {},
      'PLUGIN_INVALID',
      'register: expected to bind Symbol(hyperplug.agent) once, got 0 bindings',
    ],
    [
      'binds twice',
      (registration: PluginRegistration) => {
        dynamic(service)(registration);
        dynamic(service)(registration);
      },
      'PLUGIN_INVALID',
      'got 2 bindings',
    ],
    [
      "binds another kind's service",
      ({ bind }: PluginRegistration) => void bind<unknown>(TOKENS.state).toConstantValue({}),
      'PLUGIN_INVALID',
      'Symbol(hyperplug.state)',
    ],
    [
      "binds the host's services",
      ({ bind }: PluginRegistration) => void bind<unknown>(HOST_TOKENS.logger).toConstantValue({}),
      'PLUGIN_INVALID',
      'Symbol(hyperplug.logger)',
    ],
    [
      'binds a transient service',
      ({ bind }: PluginRegistration) => void bind<unknown>(TOKENS.agent).toDynamicValue(service).inTransientScope(),
      'PLUGIN_INVALID',
      'register: expected Symbol(hyperplug.agent) bound in singleton scope',
    ],
    [
      'registers asynchronously',
      async () => Promise.reject(new Error('x')),
      'PLUGIN_INVALID',
      'expected a synchronous function',
    ],
    [
      'throws in register()',
      () => {
        throw new Error('bad day');
      },
      'PLUGIN_START_FAILED',
      'register() threw: bad day',
    ],
    [
      'throws in its factory',
      dynamic(() => {
        throw new Error('bad luck');
      }),
      'PLUGIN_START_FAILED',
      'making its service failed: bad luck',
    ],
    ['rejects in its factory', dynamic(boom('bad end')), 'PLUGIN_START_FAILED', 'making its service failed: bad end'],
    ['never ends its factory', dynamic(never), 'TIMEOUT', 'making its service', '200 ms'],
    ['makes no object', dynamic(() => 'text'), 'PLUGIN_INVALID', 'service: expected an object, got "text" (string)'],
    [
      'lacks a method of the contract',
      dynamic(() => ({ ...service(), connect: undefined })),
      'PLUGIN_INVALID',
      'service.connect: expected a function, got undefined',
    ],
    [
      'has an optional method that is none',
      dynamic(() => ({ ...service(), stop: true })),
      'PLUGIN_INVALID',
      'service.stop: expected a function, got true (boolean)',
    ],
    [
      'has another name',
      dynamic(() => ({ ...service(), name: 'x' })),
      'PLUGIN_INVALID',
      'service.name: expected "fake", got "x"',
    ],
    [
      'declares something else than its plugin',
      dynamic(() => ({ ...service(), capabilities: { ...(service().capabilities as object), files: false } })),
      'PLUGIN_INVALID',
      "service.capabilities: expected exactly the plugin's capabilities",
    ],
  ];
  for (const [title, register, code, ...parts] of wrong) {
    it(`refuses a plugin that ${title}; nothing was started`, async () => {
      const log: string[] = [];
      const plugins = [
        ...fakePlugins(log).filter(({ kind }) => kind !== 'agent'),
        { ...fakePlugin('agent'), register },
      ];
      const host = hostOf(plugins, { startTimeoutMs: 200 });
      await rejects(host.start(), code, 'agent plugin fake (built in)', ...parts);
      expect(log).to.deep.equal([]);
    });
  }

  it('asks initNetwork() of a driver that declares a network of its own', async () => {
    const { host } = fakeHost({ hypervisor: { initNetwork: undefined } });
    await rejects(
      host.start(),
      'PLUGIN_INVALID',
      'service.initNetwork: expected a function, as capabilities.builtinNetwork',
    );
  });

  it('finds methods that a class has', async () => {
    class Agent {
      readonly name = 'fake';
      readonly capabilities = fakePlugin('agent').capabilities;
      async connect() {}
    }
    await hostOf(registering(dynamic(() => new Agent()))).start();
  });
});
