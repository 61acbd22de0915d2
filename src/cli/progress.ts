import type { ProgressSink, ProgressTask } from '../core/progress.js';
import type { Io } from './deps.js';
import { visible } from './text.js';

/** Shorter work shows nothing. */
const SHOW_AFTER_MS = 300;
const REDRAW_MS = 100;
/** Where lines cannot be redrawn: at most this often per task. */
const LINE_EVERY_MS = 10_000;
const SPINNER = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

interface Task {
  readonly label: string;
  readonly startedMs: number;
  amount: string;
  shown: boolean;
  lastLineMs: number;
}

/** On a terminal one line that is redrawn; elsewhere plain lines. On standard error alone. */
export class CliProgress implements ProgressSink {
  readonly #tasks = new Set<Task>();
  readonly #redraws: boolean;
  #timer: NodeJS.Timeout | undefined;
  #drawn = false;
  #frame = 0;
  #quiet = false;

  constructor(
    private readonly io: Pick<Io, 'stderr' | 'terminalSize' | 'env'>,
    private readonly nowMs: () => number = () => performance.now(),
  ) {
    this.#redraws = io.stderr.isTerminal && io.env.TERM !== 'dumb';
  }

  begin(label: string): ProgressTask {
    const startedMs = this.nowMs();
    const task: Task = { label: visible(label), startedMs, amount: '', shown: false, lastLineMs: startedMs };
    this.#tasks.add(task);
    this.#timer ??= setInterval(() => this.#tick(), REDRAW_MS).unref();
    const end = (words: string) => {
      if (!this.#tasks.delete(task)) return;
      if (this.#tasks.size === 0) this.#stopTimer();
      if (task.shown && !this.#quiet) {
        this.#erase();
        this.io.stderr.print(`hyperplug: ${task.label}: ${visible(words)}\n`);
      }
    };
    return {
      update: (done, total, unit) => {
        task.amount = amount(done, total, unit);
      },
      done: (note) => end(note ?? 'done'),
      fail: (note) => end(`failed: ${note}`),
    };
  }

  /** Erases the line and shows nothing more: what follows on the terminal is the command's. */
  stop(): void {
    this.#erase();
    this.#quiet = true;
    this.#stopTimer();
  }

  /** Erases the line so that another can be printed; it is drawn again later. */
  clear(): void {
    this.#erase();
  }

  #tick(): void {
    if (this.#quiet) return;
    const now = this.nowMs();
    const due = [...this.#tasks].filter((task) => now - task.startedMs >= SHOW_AFTER_MS);
    const latest = due.at(-1);
    if (!latest) return;
    if (this.#redraws) this.#draw(latest, due.length - 1);
    else for (const task of due) this.#line(task, now);
  }

  #draw(task: Task, others: number): void {
    task.shown = true;
    const spin = SPINNER[this.#frame++ % SPINNER.length];
    const more = others > 0 ? ` (and ${others} more)` : '';
    const columns = this.io.terminalSize()?.columns ?? 80;
    const text = [...`${spin} ${task.label}${task.amount && ` ${task.amount}`}${more}`].slice(0, columns - 1).join('');
    this.io.stderr.print(`\r\x1b[K${text}`);
    this.#drawn = true;
  }

  #line(task: Task, now: number): void {
    if (task.shown && now - task.lastLineMs < LINE_EVERY_MS) return;
    this.io.stderr.print(`hyperplug: ${task.label}…${task.amount && ` ${task.amount}`}\n`);
    task.shown = true;
    task.lastLineMs = now;
  }

  #erase(): void {
    if (this.#drawn) this.io.stderr.print('\r\x1b[K');
    this.#drawn = false;
  }

  #stopTimer(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

function amount(done: number, total: number | undefined, unit: string): string {
  const number = (value: number) => (Number.isInteger(value) ? String(value) : value.toFixed(1));
  if (total === undefined || total <= 0) return `${number(done)} ${visible(unit)}`;
  const percent = Math.min(100, Math.floor((done / total) * 100));
  return `${percent} % (${number(done)} of ${number(total)} ${visible(unit)})`;
}
