import { parentPort, workerData } from 'node:worker_threads';
import { type Database, openDatabase } from './state-file.js';
import { commitWrites } from './state-view.js';
import type { WriterAnswer, WriterRequest } from './writer-thread.js';

// The thread of WriterThread: commits what it is sent, one after the other, and says how it went.
const { path } = workerData as { path: string };
let database: Database | undefined;

function commit(writes: Extract<WriterRequest, { kind: 'commit' }>['writes']): WriterAnswer {
  try {
    // With the first commit: whoever asks for one holds the store's lock, and opening writes as well.
    database ??= openDatabase(path);
    commitWrites(database, writes);
    return { error: null };
  } catch (error) {
    const { message, code } = error as Error & { code?: unknown };
    return { error: { message, ...((typeof code === 'number' || typeof code === 'string') && { code }) } };
  }
}

parentPort?.on('message', async (request: WriterRequest) => {
  if (request.kind === 'commit') return parentPort?.postMessage(commit(request.writes));
  await database?.close();
  parentPort?.close();
});
