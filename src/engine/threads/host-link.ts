/** The main thread's end of one host: its task, its Comlink proxy, what it has told. */
import { MessageChannel } from 'node:worker_threads';
import type { Remote } from 'comlink';
import type { Piscina } from 'piscina';
import type { Machine } from '../../machine/layout.js';
import type { Violation } from '../../oracle/violation.js';
import {
  type HostApi,
  type HostRefusal,
  type HostResult,
  type HostTask,
  type Notice,
  beckon,
  wrapHost,
} from './control.js';

/** What a run wants to know of its hosts. */
export interface HostEvents {
  readonly violation: (violation: Violation) => void;
  /** An actor's coroutine came to its end. */
  readonly returned: (actor: number) => void;
  readonly ended: (host: HostLink) => void;
  /** It cannot set itself up, and says why. */
  readonly refused: (error: Error) => void;
  readonly failed: (host: HostLink, error: Error) => void;
}

export class HostLink {
  readonly worker: number;
  /** Resolves when the task is over, well or badly. */
  readonly done: Promise<void>;
  threadId = 0;
  result: HostResult | null = null;
  /** What its actor threw, with the stack, when it could still tell. */
  lastWords: string | null = null;
  readonly #m: Machine;
  readonly #api: Remote<HostApi>;
  readonly #events: HostEvents;
  /** Its violations that were passed on. */
  #violations = 0;
  #failure: Error | null = null;
  #over = false;

  constructor(m: Machine, pool: Piscina, task: Omit<HostTask, 'control' | 'notices'>, events: HostEvents) {
    this.worker = task.worker;
    this.#m = m;
    this.#events = events;
    const control = new MessageChannel();
    const notices = new MessageChannel();
    const running = pool.run(
      { ...task, control: control.port2, notices: notices.port2 },
      { transferList: [control.port2, notices.port2] },
    ) as Promise<HostResult | HostRefusal>;
    this.#api = wrapHost(control.port1);
    notices.port1.on('message', (notice: Notice) => this.#notice(notice));
    control.port1.unref();
    notices.port1.unref();
    this.done = running.then(
      (result) => {
        this.#over = true;
        if ('refused' in result) {
          this.#failure = new RangeError(result.refused);
          events.refused(this.#failure);
          return;
        }
        this.result = result;
        events.ended(this);
      },
      (error: unknown) => {
        this.#over = true;
        this.#failure = error instanceof Error ? error : new Error(String(error));
        events.failed(this, this.#failure);
      },
    );
  }

  /** Its task is over, well or badly. */
  get over(): boolean {
    return this.#over;
  }

  /** Asks the host for something. Rejects when its task ends before it has answered. */
  call<T>(ask: (api: Remote<HostApi>) => Promise<T>): Promise<T> {
    if (this.#over) return Promise.reject(this.#gone());
    const answer = ask(this.#api);
    beckon(this.#m, this.worker);
    const gone = this.done.then((): never => {
      throw this.#gone();
    });
    return Promise.race([answer, gone]);
  }

  /** Passes on what its result tells and its notices have not told yet. */
  collect(): void {
    const found = this.result?.violations ?? [];
    while (this.#violations < found.length) this.#events.violation(found[this.#violations++] as Violation);
  }

  #gone(): Error {
    return this.#failure ?? new Error(`worker ${this.worker} has ended`);
  }

  #notice(notice: Notice): void {
    if (notice.type === 'threw') this.lastWords = notice.error;
    else if (notice.type === 'returned') this.#events.returned(notice.actor);
    else if (notice.index === this.#violations) {
      this.#violations++;
      this.#events.violation(notice.violation);
    }
  }
}
