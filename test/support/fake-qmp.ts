import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { QmpClient, type QmpClientOptions } from '../../src/plugins/qemu/qmp/client.js';

export interface SentCommand {
  readonly execute: string;
  readonly arguments?: Readonly<Record<string, unknown>>;
  readonly id: number;
}

const GREETING = { QMP: { version: { qemu: { major: 7, minor: 2, micro: 22 }, package: '' }, capabilities: ['oob'] } };

/** QEMU's side of a QMP connection, played by a test. */
export class FakeQmp {
  readonly commands: SentCommand[] = [];
  /** What is answered by itself; undefined: nothing, the test does. */
  answer: (command: SentCommand) => object | undefined = () => ({ return: {} });
  readonly #directory = mkdtempSync(join(tmpdir(), 'hpqmp-'));
  readonly #server = createServer();
  #peer: Socket | undefined;
  #client: Socket | undefined;

  /** Both ends; nothing has been said yet. */
  async pair(): Promise<Socket> {
    const path = join(this.#directory, 'qmp');
    this.#server.listen(path);
    await once(this.#server, 'listening');
    const accepted = once(this.#server, 'connection');
    this.#client = connect(path);
    [this.#peer] = (await accepted) as [Socket];
    let text = '';
    this.#peer.on('error', () => {});
    this.#peer.on('data', (chunk) => {
      text += chunk;
      const lines = text.split('\r\n');
      text = lines.pop() ?? '';
      for (const line of lines) {
        const command = JSON.parse(line) as SentCommand;
        this.commands.push(command);
        const reply = command.execute === 'qmp_capabilities' ? { return: {} } : this.answer(command);
        if (reply) this.send({ ...reply, id: command.id });
      }
    });
    return this.#client;
  }

  async connect(options: QmpClientOptions = {}): Promise<QmpClient> {
    const socket = await this.pair();
    this.send(GREETING);
    return QmpClient.connect(socket, options, { signal: AbortSignal.timeout(10_000) });
  }

  greet(): void {
    this.send(GREETING);
  }

  send(object: object): void {
    this.raw(`${JSON.stringify(object)}\r\n`);
  }

  raw(bytes: string | Buffer): void {
    this.#peer?.write(bytes);
  }

  event(event: string, data: object = {}): void {
    this.send({ event, data, timestamp: { seconds: 0, microseconds: 0 } });
  }

  die(): void {
    this.#peer?.destroy();
  }

  /** Commands of this name, without their ids. */
  sent(name: string): unknown[] {
    return this.commands.filter(({ execute }) => execute === name).map((command) => command.arguments);
  }

  async close(): Promise<void> {
    this.#peer?.destroy();
    this.#client?.destroy();
    if (this.#server.listening) await new Promise((resolve) => this.#server.close(resolve));
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
