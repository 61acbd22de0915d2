import { join } from 'node:path';
import { type CallOptions, raceSignal, type UserCallOptions, withDeadline } from './core/calls.js';
import type { LoadedConfig } from './core/config/load-config.js';
import type { Diagnosis } from './core/diagnosis.js';
import { combineErrors, hasCode } from './core/errors.js';
import { tidyTemplates } from './core/gc/templates.js';
import type { GcFinding, GcReport } from './core/gc/types.js';
import type { HostServices } from './core/host-services.js';
import { NeededNetworks } from './core/needed-networks.js';
import { initNetworks } from './core/network-init.js';
import { ConfiguredNetworks, type NicInUse } from './core/networks.js';
import { HOST_TOKENS, PLUGIN_KINDS, type PluginKind, type PluginLogger } from './core/plugin.js';
import { Wake } from './core/pod/events/wake.js';
import { PodManager } from './core/pod/pod-manager.js';
import { PodStore } from './core/pod/pod-store.js';
import { EnginePods } from './core/pod/pods.js';
import type { Pods } from './core/pod/pods-api.js';
import type { PodServices } from './core/pod/services.js';
import type { Hyperplug, Networks, Pod, PodStatus } from './core/pod/types.js';
import { type ProgressSink, silentProgress } from './core/progress.js';
import { checkKeep } from './core/registry/check-selection.js';
import type { HypervisorChoice } from './core/registry/choose-hypervisor.js';
import { OtherHypervisors } from './core/registry/other-hypervisors.js';
import { PluginHost, type PluginHostOptions } from './core/registry/plugin-host.js';
import type { RootImageProvider } from './core/rootfs.js';
import { diagnoseTemplates } from './core/template/diagnose.js';
import { TemplateEngine, type TemplateServices } from './core/template/engine.js';
import { PoolEngine } from './core/template/pool.js';
import { TemplateStore } from './core/template/store.js';
import { EnginePool, EngineTemplates } from './core/template/templates.js';
import type { Pool, Templates } from './core/template/types.js';
import { tidySocket } from './host/dead-socket.js';
import { tidyCache } from './host/debian/cache-leftovers.js';
import { DebianToolProvider } from './host/debian/tools.js';
import { gcHost } from './host/gc-host.js';
import { headStart } from './host/head-start.js';
import { hostServices } from './host/host-services.js';
import { type Directories, ensureDirectories } from './host/paths.js';
import { LazyRootImages } from './host/rootfs/lazy.js';
import { diagnoseRootless, unaskedNetworks } from './host/rootless/diagnose.js';
import { daemonPaths, directoriesOf, IMAGE_TIMEOUT_MS, imageProvider, pluginPaths } from './places.js';
import { isOutside, mustBeInside, rootlessBindings, rootlessFindings, sessionId } from './rootless.js';

export interface EngineOptions {
  readonly progress?: ProgressSink;
  /** For the plugins and for what happens on the way; made when the configuration is known, if it depends on that. */
  readonly logger?: PluginLogger | ((loaded: LoadedConfig) => PluginLogger);
  /** This process stays and serves many: what would hold its event loop up goes to a thread from the start. Default: it is found out. */
  readonly serves?: boolean;
  /** Processes and locks as somebody else has them: of a machine in memory, for tests of plugins and engines. */
  readonly host?: HostServices;
}

const GC_LOOK_TIMEOUT_MS = 30_000;
const ROOT_IMAGE_UNUSED_MS = 30 * 86_400_000;
const DIAGNOSE_TIMEOUT_MS = 120_000;

/** They work in the namespaces of rootless networks: asked elsewhere, they would tell of another place. */
const INSIDE_KINDS: readonly PluginKind[] = ['network', 'firewall'];
const OUTSIDE_KINDS = PLUGIN_KINDS.filter((kind) => !INSIDE_KINDS.includes(kind));

/** The pods of one configuration, in this process; plugins start with the first call that needs them. */
export class Engine implements Hyperplug {
  readonly #loaded: LoadedConfig;
  readonly #progress: ProgressSink;
  readonly #directories: Directories;
  readonly #tools: DebianToolProvider;
  readonly #host: PluginHost;
  readonly #others: OtherHypervisors;
  readonly #hostServices: HostServices;
  readonly #logger: PluginLogger | undefined;
  readonly #serves: boolean;
  readonly #rootImages: RootImageProvider;
  readonly networks: Networks;
  readonly #needed: NeededNetworks;
  readonly pods: Pods;
  readonly templates: Templates;
  readonly pool: Pool;
  #templates: TemplateEngine | undefined;
  #pool: PoolEngine | undefined;
  #manager: Promise<PodManager> | undefined;
  #swept: Promise<void> | undefined;
  #closed: Promise<void> | undefined;

  constructor(
    loaded: LoadedConfig,
    options: EngineOptions,
    private readonly choice: HypervisorChoice | undefined,
    private readonly obstacle: Error | undefined,
  ) {
    this.#loaded = loaded;
    this.#progress = options.progress ?? silentProgress;
    this.#logger = typeof options.logger === 'function' ? options.logger(loaded) : options.logger;
    this.#serves = options.serves ?? false;
    this.#directories = directoriesOf(loaded);
    const session = sessionId();
    this.#hostServices = options.host ?? (session === undefined ? hostServices : { ...hostServices, session });
    this.#tools = new DebianToolProvider({ cacheDir: this.#directories.cacheDirectory });
    this.#rootImages = new LazyRootImages({ cacheDir: this.#directories.cacheDirectory, tools: this.#tools });
    const hostOptions: PluginHostOptions = {
      bindings: [
        { token: HOST_TOKENS.tools, value: this.#tools },
        { token: HOST_TOKENS.progress, value: this.#progress },
        {
          token: HOST_TOKENS.paths,
          value: pluginPaths(this.#directories),
        },
        ...(this.#logger ? [{ token: HOST_TOKENS.logger, value: this.#logger }] : []),
        ...rootlessBindings(),
      ],
      ...(this.#logger ? { logger: this.#logger } : {}),
    };
    this.#host = new PluginHost(loaded.select(choice?.name), hostOptions);
    const optionsOf = (name: string) => loaded.config.hypervisor[name];
    this.#others = new OtherHypervisors(loaded.registry, optionsOf, hostOptions);
    this.pods = new EnginePods({
      manager: (call) => this.#started(call),
      ready: async (call) => {
        const pods = await this.#started(call);
        await this.#prepareHost(pods, [], call);
        return pods;
      },
      checkKeep: () => checkKeep(this.#host.selected),
    });
    this.templates = new EngineTemplates((call) => this.#templated(call));
    this.pool = new EnginePool(async (call) => {
      await this.#started(call);
      return this.#pool as PoolEngine;
    });
    this.#needed = new NeededNetworks((only, call) => this.#initNetworks(only, call));
    this.networks = new ConfiguredNetworks({
      specs: loaded.networks,
      refused: loaded.refusedNetworks,
      backend: async (call) => {
        await this.#started(call);
        return this.#host.services.network;
      },
      init: async (names, call) => {
        await this.#initNetworks(names, call);
        this.#needed.saw(names);
      },
      nics: async (call) => (await this.#started(call)).nicsInUse(call),
      forget: () => this.#needed.forget(),
    });
  }

  async createPod(spec: unknown, options: UserCallOptions = {}): Promise<Pod> {
    if ((spec as { keep?: unknown } | null)?.keep === true) checkKeep(this.#host.selected);
    const pods = await this.#started(options);
    // What was left may bear its name. Else that is looked after beside the start of the VM, which needs none of it.
    const id = (spec as { id?: unknown } | null)?.id;
    if (id !== undefined && id !== headStart()?.podId) await this.#prepareHost(pods, [], options);
    return pods.create(spec, options);
  }

  async openPod(id: string, options: UserCallOptions = {}): Promise<Pod> {
    return (await this.#started(options)).open(id, options);
  }

  async listPods(options: UserCallOptions = {}): Promise<readonly PodStatus[]> {
    return (await this.#started(options)).list(options);
  }

  async removePod(id: string, options: UserCallOptions & { readonly force?: boolean } = {}): Promise<void> {
    return (await this.#started(options)).remove(id, options);
  }

  async prepare(options: UserCallOptions = {}): Promise<void> {
    await this.#started(options);
    await this.#needNetworks(
      this.#loaded.networks.map(({ name }) => name),
      options,
    );
    await this.#image(options.signal);
  }

  async gc({ dryRun = false, ...options }: UserCallOptions & { readonly dryRun?: boolean } = {}): Promise<GcReport> {
    const pods = await this.#started(options);
    const { network } = this.#host.services;
    const know = async (nics: readonly NicInUse[], call: CallOptions) =>
      network.configure?.(
        this.#loaded.networks,
        nics.flatMap(({ attached }) => attached ?? []),
        call,
      );
    const wayOut = await rootlessFindings(dryRun, {
      signal: options.signal ?? AbortSignal.timeout(GC_LOOK_TIMEOUT_MS),
    });
    const report = await pods.gc(know, gcHost, { dryRun }, options);
    const { cacheDirectory } = this.#directories;
    const images = this.#loaded.config.guest.imageDirectory ?? join(cacheDirectory, 'images');
    const folders = [images, join(cacheDirectory, 'kernels'), join(cacheDirectory, 'packages')];
    const cache = await tidyCache(folders, dryRun);
    const look = { signal: options.signal ?? AbortSignal.timeout(GC_LOOK_TIMEOUT_MS) };
    const templates = await tidyTemplates((await this.#templated(options)).store, gcHost, { dryRun }, look);
    const roots = await this.#tidyRootImages(dryRun, look);
    const { socketPath, lockPath } = daemonPaths(this.#loaded);
    const socket = await tidySocket(socketPath, lockPath, dryRun, look.signal);
    return { dryRun, findings: [...wayOut, ...report.findings, ...templates, ...cache, ...roots, ...socket] };
  }

  /** Images that no pod was started from for long, and that nothing has open. */
  async #tidyRootImages(dryRun: boolean, { signal }: CallOptions): Promise<GcFinding[]> {
    const unused = { unusedForMs: ROOT_IMAGE_UNUSED_MS, dryRun, signal, progress: silentProgress };
    const { removed } = await this.#rootImages.prune(unused);
    const why = 'no pod was started from this root image for 30 days';
    return removed.map((id) => ({ kind: 'cache', id, why, action: 'removed' }));
  }

  async diagnose(options: UserCallOptions = {}): Promise<readonly Diagnosis[]> {
    await this.#pluginsStarted(options);
    const { services } = this.#host;
    const outside = isOutside(this.#loaded);
    const timeoutMs = options.timeoutMs ?? DIAGNOSE_TIMEOUT_MS;
    return withDeadline('diagnosis', timeoutMs, options.signal, async (call) => {
      const findings = await Promise.all(
        (outside ? OUTSIDE_KINDS : PLUGIN_KINDS).map(async (kind): Promise<readonly Diagnosis[]> => {
          const service = services[kind] as { diagnose?(options: typeof call): Promise<readonly Diagnosis[]> };
          try {
            return (await service.diagnose?.(call)) ?? [];
          } catch (error) {
            const summary = `diagnosis failed: ${error instanceof Error ? error.message : String(error)}`;
            return [{ id: `${kind}.${services[kind].name}`, status: 'fail', summary }];
          }
        }),
      );
      const { choice } = this;
      const chosen: Diagnosis[] = choice
        ? [{ id: 'hypervisor.auto', status: 'ok', summary: `${choice.name} is used (${choice.reason})` }]
        : [];
      const rootless = await diagnoseRootless(this.#loaded.config.rootless.enabled, call);
      const templates = await diagnoseTemplates(services.hypervisor, (limits) => this.templates.list(limits), call);
      const unasked = outside ? [unaskedNetworks(this.obstacle)] : [];
      return [...chosen, ...findings.flat(), templates, ...rootless, ...unasked];
    });
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Plugins started; enough to look at pods and to remove them. */
  #started(options: UserCallOptions): Promise<PodManager> {
    mustBeInside(this.#loaded);
    return this.#pluginsStarted(options);
  }

  #pluginsStarted({ signal }: UserCallOptions): Promise<PodManager> {
    if (this.#closed) throw new TypeError('hyperplug: closed already');
    // Not by this caller's signal: plugins start once, and others wait for it as well.
    this.#manager ??= this.#start();
    return signal ? raceSignal(this.#manager, signal, 'starting the plugins') : this.#manager;
  }

  async #start(): Promise<PodManager> {
    ensureDirectories(this.#directories);
    const services = await this.#host.start();
    if (this.#serves) services.state.serve?.();
    const { config } = this.#loaded;
    const wake = new Wake(this.#directories.stateDirectory);
    const common = {
      driver: services.hypervisor,
      agent: services.agent,
      host: this.#hostServices,
      progress: this.#progress,
      directories: { state: this.#directories.stateDirectory, runtime: this.#directories.runtimeDirectory },
      defaults: config.pods,
      bootTimeoutMs: config.pods.bootTimeoutMs,
      kernelArgs: config.guest.kernelArgs,
    };
    const templateServices = { ...common, image: this.#image.bind(this) };
    const onTrouble = (error: unknown, what: string) => this.#logger?.warn({ err: error }, what);
    this.#templates = this.#templateEngine(templateServices, onTrouble);
    const { size, template, totalMib } = config.pool;
    this.#pool = new PoolEngine(templateServices, this.#templates, { size, template, totalMib, onTrouble });
    const podServices: PodServices = {
      ...common,
      otherDriver: (name, call) => this.#others.get(name, call),
      backend: services.network,
      store: new PodStore(services.state, () => wake.announce()),
      rootImages: this.#rootImages,
      templates: this.#templates,
      pool: this.#pool,
      image: (imageSignal) => this.#image(imageSignal),
      networks: this.#loaded.networks,
      prepareHost: (names, options) => this.#prepareHost(pods, names, options),
      initNetworks: (names, options) => this.#needNetworks(names, options),
      refusedNetworks: this.#loaded.refusedNetworks,
    };
    const pods = new PodManager(podServices, wake, this.pods);
    return pods;
  }

  /** Pods of these networks can be started: they are initialised, and what managers that died have left is cleared. */
  async #prepareHost(pods: PodManager, names: readonly string[], options: UserCallOptions): Promise<void> {
    await this.#needNetworks(names, options);
    await this.#sweepOnce(pods, options);
  }

  /** Of those that are refused, what is there already stays as it is. */
  #needNetworks(names: readonly string[], options: UserCallOptions): Promise<void> {
    const { networks, refusedNetworks } = this.#loaded;
    const known = (name: string) => networks.some((spec) => spec.name === name) && !refusedNetworks.has(name);
    return this.#needed.need(names.filter(known), options);
  }

  #initNetworks(only: readonly string[], options: UserCallOptions): Promise<void> {
    const { hypervisor, network } = this.#host.services;
    return initNetworks(hypervisor, network, this.#loaded.networks, { ...options, only });
  }

  /** Plugins started: templates need no network. */
  async #templated(options: UserCallOptions): Promise<TemplateEngine> {
    await this.#pluginsStarted(options);
    return this.#templates as TemplateEngine;
  }

  #templateEngine(services: TemplateServices, onTrouble: (error: unknown, what: string) => void): TemplateEngine {
    const { pods, templates } = this.#loaded.config;
    const directory = templates.directory ?? join(this.#directories.cacheDirectory, 'templates');
    return new TemplateEngine(services, new TemplateStore(directory, services.host), {
      fallback: pods.template,
      automaticCount: templates.automaticCount,
      automaticTotalMib: templates.automaticTotalMib,
      onTrouble,
    });
  }

  async #image(signal: AbortSignal | undefined, own: { readonly kernel?: string; readonly initramfs?: string } = {}) {
    const provider = await imageProvider(this.#loaded, this.#tools, false, own);
    return withDeadline('guest image', IMAGE_TIMEOUT_MS, signal, (call) =>
      provider.image({ signal: call.signal, progress: this.#progress }),
    );
  }

  /** What managers that died have left is cleared before something new is made; that it cannot be does not stop us. */
  #sweepOnce(pods: PodManager, { signal }: UserCallOptions): Promise<void> {
    // Not by this caller's signal: others wait for it as well.
    this.#swept ??= pods.sweep(gcHost, {}).then(
      ({ removed, errors }) => {
        if (removed.length > 0) this.#logger?.info({ pods: removed }, 'removed pods whose manager had died');
        for (const error of errors)
          this.#logger?.warn({ err: error }, 'a pod whose manager had died could not be removed');
      },
      (error: unknown) => {
        // Nothing new can be recorded, either; the next call tries again.
        if (hasCode(error, 'STATE_UNAVAILABLE')) {
          this.#swept = undefined;
          throw error;
        }
        this.#logger?.warn({ err: error }, 'pods of dead managers could not be looked for');
      },
    );
    return signal ? raceSignal(this.#swept, signal, 'looking for pods of dead managers') : this.#swept;
  }

  async #close(): Promise<void> {
    const pods = await this.#manager?.catch(() => undefined);
    await this.#pool?.close();
    await this.#templates?.close();
    const errors = (await pods?.close()) ?? [];
    await this.#others.stop().catch((error: unknown) => errors.push(error));
    await this.#host.stop().catch((error: unknown) => errors.push(error));
    if (errors.length > 0) throw combineErrors('POD_CLEANUP_FAILED', 'closing', errors);
  }
}
