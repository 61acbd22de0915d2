import { constants } from 'node:fs';
import { createRequire } from 'node:module';
import { systemError } from './process-pidfd.js';

/** spawn.h, asm-generic/fcntl.h. */
const POSIX_SPAWN_SETSIGDEF = 0x04;
const POSIX_SPAWN_SETSIGMASK = 0x08;
const POSIX_SPAWN_SETSID = 0x80;
const O_CLOEXEC = 0o2000000;

/** posix_spawn_file_actions_t and posix_spawnattr_t of any libc are smaller, a sigset_t is just that. */
const OPAQUE_BYTES = 1024;
const SIGSET_BYTES = 128;

interface Native {
  readonly errno: () => number;
  readonly closeFd: (fd: number) => number;
  readonly pipe2: (fds: Int32Array, flags: number) => number;
  /** Gives an error number, not -1. */
  readonly spawn: (
    pid: Int32Array,
    path: string,
    actions: Buffer,
    attributes: Buffer,
    argv: readonly (string | null)[],
    env: readonly (string | null)[],
  ) => number;
  readonly call: Readonly<Record<'init' | 'destroy' | 'initAttributes' | 'destroyAttributes', (it: Buffer) => number>>;
  readonly dup2: (actions: Buffer, fd: number, target: number) => number;
  readonly close: (actions: Buffer, fd: number) => number;
  readonly open: (actions: Buffer, fd: number, path: string, flags: number, mode: number) => number;
  readonly chdir: (actions: Buffer, path: string) => number;
  readonly setFlags: (attributes: Buffer, flags: number) => number;
  readonly setDefault: (attributes: Buffer, signals: Buffer) => number;
  readonly setMask: (attributes: Buffer, signals: Buffer) => number;
}

let native: Native | undefined;

function loadNative(): Native {
  if (native) return native;
  const koffi = createRequire(import.meta.url)('koffi');
  const libc = koffi.load(null);
  const actions = (name: string, rest = '') => libc.func(`int posix_spawn_file_actions_${name}(void *${rest})`);
  const attributes = (name: string, rest = '') => libc.func(`int posix_spawnattr_${name}(void *${rest})`);
  native = {
    errno: () => koffi.errno(),
    closeFd: libc.func('int close(int)'),
    pipe2: libc.func('int pipe2(_Out_ int *, int)'),
    spawn: libc.func('int posix_spawn(_Out_ int *, const char *, void *, void *, const char **, const char **)'),
    call: {
      init: actions('init'),
      destroy: actions('destroy'),
      initAttributes: attributes('init'),
      destroyAttributes: attributes('destroy'),
    },
    dup2: actions('adddup2', ', int, int'),
    close: actions('addclose', ', int'),
    open: actions('addopen', ', int, const char *, int, unsigned int'),
    chdir: actions('addchdir_np', ', const char *'),
    setFlags: attributes('setflags', ', short'),
    setDefault: attributes('setsigdefault', ', void *'),
    setMask: attributes('setsigmask', ', void *'),
  };
  return native;
}

export interface SpawnPlan {
  /** The first is the program's absolute path. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  /** Its descriptors 2, 3, 4 …; 0 and 1 are /dev/null. It inherits no other that is closed on exec, as Node's are. */
  readonly fds: readonly number[];
}

/**
 * Starts a program in a session of its own, with every signal as by default: posix_spawn(3), which shares this process's memory
 * until the program is there. Node's own way copies the tables of its pages, which takes ten times as long and grows with it.
 * @returns its pid; whoever calls waits for it. @throws an error with `code` (ENOENT, EACCES, EAGAIN …).
 */
export function posixSpawn({ argv, env, cwd, fds }: SpawnPlan): number {
  const lib = loadNative();
  const [actions, attributes] = [Buffer.alloc(OPAQUE_BYTES), Buffer.alloc(OPAQUE_BYTES)];
  const check = (errno: number, call: string) => {
    if (errno !== 0) throw systemError(call, errno);
  };
  check(lib.call.init(actions), 'posix_spawn_file_actions_init');
  check(lib.call.initAttributes(attributes), 'posix_spawnattr_init');
  try {
    // Out of the way first: one may stand where another shall be.
    const aside = Math.max(2 + fds.length, ...fds) + 1;
    const steps = [
      ...fds.map((fd, index) => lib.dup2(actions, fd, aside + index)),
      ...[0, 1].map((fd) => lib.open(actions, fd, '/dev/null', constants.O_RDWR, 0)),
      ...fds.flatMap((_, index) => [lib.dup2(actions, aside + index, 2 + index), lib.close(actions, aside + index)]),
      lib.chdir(actions, cwd),
      lib.setFlags(attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID),
      lib.setDefault(attributes, Buffer.alloc(SIGSET_BYTES, 0xff)),
      lib.setMask(attributes, Buffer.alloc(SIGSET_BYTES)),
    ];
    for (const step of steps) check(step, 'posix_spawn_file_actions');
    const pid = new Int32Array(1);
    const environment = Object.entries(env).map(([name, value]) => `${name}=${value}`);
    const [file] = argv as [string];
    check(lib.spawn(pid, file, actions, attributes, [...argv, null], [...environment, null]), 'posix_spawn');
    return pid[0] as number;
  } finally {
    lib.call.destroy(actions);
    lib.call.destroyAttributes(attributes);
  }
}

/** Of what pipe() has given: Node warns of descriptors that it has not opened, in worker threads. */
export function closeDescriptor(fd: number): void {
  loadNative().closeFd(fd);
}

/** pipe(2): the end to read, the end to write; closed on exec. */
export function pipe(): readonly [number, number] {
  const lib = loadNative();
  const fds = new Int32Array(2);
  if (lib.pipe2(fds, O_CLOEXEC) !== 0) throw systemError('pipe2', lib.errno());
  return [fds[0] as number, fds[1] as number];
}
