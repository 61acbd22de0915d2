import type { GuestContainer, GuestMount } from '../../../core/container.js';
import { CONTAINER_LOG_BYTES, type ContainerExit, type ContainerSetup } from '../../../core/container.js';
import { FakeGuestProcess, type GuestProcessStart } from './guest-process.js';
import { GuestRefusal } from './network.js';
import type { Program } from './types.js';

const EEXIST = 17;
const EBUSY = 16;
const ENOENT = 2;
const ESRCH = 3;
const SIGKILL = 9;

export interface FakeContainer {
  readonly setup: ContainerSetup;
  readonly files: Map<string, Buffer>;
  /** What runs in it, the main process among them. */
  readonly processes: Set<FakeGuestProcess>;
  main: FakeGuestProcess | undefined;
  exit: Omit<ContainerExit, 'container'> | undefined;
  log: Buffer;
  /** Bytes of the log that are lost. */
  lost: number;
}

/** Containers and volumes of a FakeGuest: names, files and processes, without anything below them. */
export class GuestContainers {
  readonly all = new Map<string, FakeContainer>();
  readonly volumes = new Map<string, GuestMount>();
  /** Told of the end of each main process. */
  readonly listeners = new Set<(exit: ContainerExit) => void>();
  #lastPid = 100;

  constructor(readonly program: (name: string) => Program | undefined) {}

  find(id: string): FakeContainer {
    const container = this.all.get(id);
    if (!container) throw new GuestRefusal(`no container ${id}`, ESRCH);
    return container;
  }

  create(setup: ContainerSetup): void {
    if (!/^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}$/.test(setup.id)) throw new GuestRefusal(`not a container's id`);
    if (this.all.has(setup.id)) throw new GuestRefusal(`a container ${setup.id} exists already`, EEXIST);
    for (const { path } of setup.mounts) if (!path.startsWith('/')) throw new GuestRefusal('not an absolute path');
    const empty = { main: undefined, exit: undefined, log: Buffer.alloc(0), lost: 0 };
    this.all.set(setup.id, { setup, files: new Map(), processes: new Set(), ...empty });
  }

  /** Becomes the main process, whoever started it. */
  adoptMain(id: string, process: FakeGuestProcess): void {
    const container = this.find(id);
    if (container.main) throw new GuestRefusal(`container ${id} runs already`, EBUSY);
    container.main = process;
    container.exit = undefined;
    const previous = process.onExit;
    process.onExit = () => {
      previous();
      container.main = undefined;
      const { exitCode = 0, signal } = process;
      container.exit = { exitCode, ...(signal === undefined ? {} : { signal }) };
      for (const listener of [...this.listeners]) listener({ container: id, ...container.exit });
    };
  }

  /** A function that runs it, to be called when the answer has been sent. */
  start(id: string, start: GuestProcessStart): () => void {
    const container = this.find(id);
    const name = start.argv[0] ?? '';
    const program = this.program(name);
    if (!program) throw new GuestRefusal(`${name}: not found`, ENOENT);
    const process: FakeGuestProcess = new FakeGuestProcess(0, start, {
      send: (header, body) => {
        if ((header as { type: string }).type !== 'out' || !body) return;
        this.#append(container, body);
        const { stream } = header as { stream: 1 | 2 };
        setImmediate(() => (stream === 1 ? process.stdout : process.stderr).giveRoom(body.length));
      },
    });
    process.endInput();
    this.adoptMain(id, process);
    this.track(container, process);
    return () => void process.run(program);
  }

  /** Ends with the container. */
  track(container: FakeContainer, process: FakeGuestProcess): void {
    container.processes.add(process);
    const previous = process.onExit;
    process.onExit = () => {
      container.processes.delete(process);
      previous();
    };
  }

  signal(id: string, signal: number): void {
    const { main } = this.find(id);
    if (!main) throw new GuestRefusal(`the main process of container ${id} does not run`, ENOENT);
    main.kill(signal);
  }

  async remove(id: string): Promise<void> {
    const container = this.all.get(id);
    if (!container) return;
    this.all.delete(id);
    const ended = [...container.processes].map(
      (process) =>
        new Promise<void>((resolve) => {
          const previous = process.onExit;
          process.onExit = () => {
            previous();
            resolve();
          };
          process.kill(SIGKILL);
        }),
    );
    await Promise.all(ended);
  }

  list(): GuestContainer[] {
    return [...this.all.entries()].map(([id, { main, exit }]) => {
      if (main) return { id, state: 'running', pid: ++this.#lastPid };
      return { id, state: exit ? 'exited' : 'created', pid: 0, ...exit };
    });
  }

  #append(container: FakeContainer, text: Uint8Array): void {
    const whole = Buffer.concat([container.log, text]);
    container.log = whole.subarray(Math.max(0, whole.length - CONTAINER_LOG_BYTES));
    container.lost += whole.length - container.log.length;
  }

  log(id: string, offset: number, maxBytes: number) {
    const { log, lost } = this.find(id);
    const end = lost + log.length;
    const start = Math.min(Math.max(offset, lost), end);
    return { result: { offset: start, end }, body: log.subarray(start - lost, start - lost + maxBytes) };
  }

  mount(mount: GuestMount): void {
    if (!mount.path.startsWith('/')) throw new GuestRefusal('not an absolute path');
    if (this.volumes.has(mount.path)) throw new GuestRefusal(`${mount.path} is mounted already`, EBUSY);
    this.volumes.set(mount.path, mount);
  }

  unmount(path: string): void {
    if (!this.volumes.delete(path)) throw new GuestRefusal(`${path} is not mounted`, ENOENT);
  }
}
