import { connect, type Socket } from 'node:net';
import { type CallOptions, raceSignal } from '../../core/calls.js';
import { HyperplugError } from '../../core/errors.js';

/** @throws VM_EXITED nobody listens there any more. */
export function openSocket(path: string, { signal }: CallOptions): Promise<Socket> {
  const socket = connect({ path });
  const opened = new Promise<Socket>((resolve, reject) => {
    socket.once('connect', () => resolve(socket));
    socket.once('error', (cause) =>
      reject(new HyperplugError('VM_EXITED', `${path}: ${cause.message}`, { cause, details: { path } })),
    );
  });
  // Whoever reads the stream hears of its errors by its own listener.
  socket.on('error', () => {});
  return raceSignal(opened, signal, `connect to ${path}`).catch((error: unknown) => {
    socket.destroy();
    throw error;
  });
}
