/** How a worker sleeps: the sleeper's side of the waiting protocol (machine/wait.ts), and what others may know meanwhile. */
import { type Machine, WORKER_CURRENT, WORKER_DOORBELL, WORKER_PARKED, workerWord } from '../../machine/layout.js';
import { WAITERS, lockValue, registerSleeper } from '../../machine/wait.js';
import { isTurnMissed } from '../../locks/queue.js';
import type { RingWriter } from '../../events/ring.js';
import { type HostedActor, MODE_ON_WORD } from './hosted-actor.js';
import { NOT_PARKED, PARKED_RING_FULL } from '../machine/phase.js';

export class Doorbell {
  readonly #m: Machine;
  readonly #worker: number;
  readonly #ring: RingWriter;
  readonly #at: number;
  readonly #parkedAt: number;
  readonly #currentAt: number;

  constructor(m: Machine, worker: number, ring: RingWriter) {
    this.#m = m;
    this.#worker = worker;
    this.#ring = ring;
    this.#at = workerWord(m, worker, WORKER_DOORBELL);
    this.#parkedAt = workerWord(m, worker, WORKER_PARKED);
    this.#currentAt = workerWord(m, worker, WORKER_CURRENT);
  }

  /** What the doorbell says; to be taken before anything is looked at that rings it. */
  sample(): number {
    return Atomics.load(this.#m.words, this.#at);
  }

  /**
   * Registers the worker for what the actor waits for, and looks at it once more.
   * @returns false when the wait is over
   */
  register(a: HostedActor): boolean {
    const { words } = this.#m;
    // who waits in line for a lock is woken by its turn (locks/queue.ts)
    if (a.mode === MODE_ON_WORD || a.ctx.task.queuedFor !== a.word) registerSleeper(this.#m, a.word, this.#worker);
    if (a.mode === MODE_ON_WORD) return Atomics.load(words, a.word) === a.value;
    if (lockValue(Atomics.compareExchange(words, a.word, a.value, a.value | WAITERS)) !== a.value) return false;
    return !isTurnMissed(a.ctx, a.word);
  }

  /**
   * Sleeps while the doorbell says `sample`, as `parked` (PARKED_*). The worker touches no memory of the simulation until
   * it has looked at HDR_PHASE again: whoever freezes stores the phase and then looks at WORKER_PARKED, the waking worker
   * stores WORKER_PARKED and then looks at the phase.
   * @returns the time that its actors' clocks must have reached before one of them runs
   */
  wait(sample: number, parked: number, timeoutMs: number): number {
    const { words } = this.#m;
    this.#ring.sleep();
    words[this.#currentAt] = 0;
    Atomics.store(words, this.#parkedAt, parked);
    Atomics.wait(words, this.#at, sample, timeoutMs);
    Atomics.store(words, this.#parkedAt, NOT_PARKED);
    return this.#ring.wake();
  }

  /**
   * Sleeps until the reader of a full ring has made room for `records`, `ms` at most. The reader is not part of the
   * machine and rings no doorbell; it notifies the ring.
   * @param begins the first sleep of this wait
   * @returns false when room is still missing
   */
  waitForReader(records: number, ms: number, begins: boolean): boolean {
    const { words } = this.#m;
    Atomics.store(words, this.#parkedAt, PARKED_RING_FULL);
    const read = this.#ring.waitForReader(records, ms, begins);
    Atomics.store(words, this.#parkedAt, NOT_PARKED);
    return !read || this.#ring.room() >= records;
  }
}
