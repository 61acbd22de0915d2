import { randomBytes } from 'node:crypto';
import { closeSync, fstatSync, fsync, ftruncateSync, openSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { promisify } from 'node:util';
import { type CallOptions, throwIfAborted } from '../../../core/calls.js';
import { HyperplugError, isHyperplugError } from '../../../core/errors.js';
import { copyData } from '../../../host/memfd.js';
import { FD } from '../machine-plan.js';
import type { QmpClient } from '../qmp/client.js';
import { digestOfState, type SavedData } from './files.js';
import { MIGRATION_CAPABILITIES, migrationEnd } from './migration.js';
import { memoryFile, stateFile } from './paths.js';

const synced = promisify(fsync);
const STATE = 'template-state';

/**
 * Writes a source's devices and memory. QEMU stops the VM when it begins and leaves it stopped, so that memory and devices are
 * of one moment. On rejection the directory is empty again.
 * @throws VM_HYPERVISOR_FAILED, VM_EXITED, QMP_ERROR, QMP_CLOSED, HOST_IO, TIMEOUT, ABORTED.
 */
export async function saveTo(directory: string, pid: number, qmp: QmpClient, call: CallOptions): Promise<SavedData> {
  const open: number[] = [];
  const keep = (path: string, flags: string) => {
    const fd = openSync(path, flags, 0o600);
    open.push(fd);
    return fd;
  };
  try {
    const state = keep(stateFile(directory), 'wx+');
    await qmp.executeWithFds('getfd', { fdname: STATE }, [state], call).answer;
    await qmp.execute('migrate-set-capabilities', MIGRATION_CAPABILITIES, call);
    const end = migrationEnd(qmp, call);
    end.catch(() => {});
    await qmp.execute('migrate', { uri: `fd:${STATE}` }, call);
    const status = await end;
    if (status !== 'completed') {
      throw new HyperplugError('VM_HYPERVISOR_FAILED', `QEMU could not save the state of its devices: ${status}`);
    }
    const source = keep(`/proc/${pid}/fd/${FD.memory}`, 'r');
    const memory = keep(memoryFile(directory), 'wx');
    const memoryBytes = fstatSync(source).size;
    ftruncateSync(memory, memoryBytes);
    await copyData(source, memory, call);
    for (const fd of [memory, state, keep(directory, 'r')]) {
      throwIfAborted(call.signal, 'save of a template');
      await synced(fd);
    }
    const content = await readFile(stateFile(directory));
    const id = randomBytes(16).toString('hex');
    return { id, memoryBytes, stateBytes: content.length, stateDigest: digestOfState(content) };
  } catch (error) {
    await Promise.all([stateFile, memoryFile].map((path) => rm(path(directory), { force: true })));
    if (isHyperplugError(error)) throw error;
    const { message, code } = error as NodeJS.ErrnoException;
    throw new HyperplugError('HOST_IO', `template in ${directory}: cannot be written: ${message}`, {
      cause: error,
      details: { directory, name: code },
    });
  } finally {
    for (const fd of open) closeSync(fd);
  }
}
