/** Whether the clients of a run have had their turns since an actor was held up: what a delay of the noise maker waits for. */
import { ACTOR_PROGRESS, ACTOR_RETRIES, ACTOR_STATE, type Machine, actorWord } from '../../machine/layout.js';
import { ACTOR_BLOCKED, ACTOR_RETURNED } from '../machine/phase.js';

/** What one client alone has to do: up to 2^(n - 1) operations; and each of them, where all are waited for. */
const ONE_BITS = 5;
const ALL_BITS = 3;

export class Others {
  readonly #words: Int32Array;
  /** The records of the other clients. */
  readonly #records: readonly number[];
  readonly #before: Int32Array;
  #first = 0;
  #count = 0;
  #wanted = 1;

  /** @param clients the run's clients; `self`, who is held up, is left out */
  constructor(m: Machine, clients: readonly number[], self: number) {
    this.#words = m.words;
    this.#records = clients.filter((actor) => actor !== self).map((actor) => actorWord(m, actor, 0));
    this.#before = new Int32Array(this.#records.length);
  }

  /**
   * The delay begins.
   * @param draw a random word: whether it is for all of them, as three times in four, or for one, and how much they shall do
   */
  begin(draw: number): void {
    const count = this.#records.length;
    const all = (draw & 3) !== 0;
    this.#first = all || count === 0 ? 0 : (draw >>> 8) % count;
    this.#count = all ? count : Math.min(1, count);
    this.#wanted = 1 << ((draw >>> 16) % (all ? ALL_BITS : ONE_BITS));
    for (let i = this.#first; i < this.#first + this.#count; i++) this.#before[i] = this.#progress(i);
  }

  /**
   * They have done what they shall. One that waits for a lock, or retries a fault, may wait for who is held up: nobody waits for
   * that one.
   */
  haveMoved(): boolean {
    for (let i = this.#first; i < this.#first + this.#count; i++) {
      if (((this.#progress(i) - (this.#before[i] as number)) | 0) >= this.#wanted) continue;
      const record = this.#records[i] as number;
      const state = Atomics.load(this.#words, record + ACTOR_STATE);
      if (state === ACTOR_BLOCKED || state === ACTOR_RETURNED) continue;
      if (Atomics.load(this.#words, record + ACTOR_RETRIES) === 0) return false;
    }
    return true;
  }

  #progress(i: number): number {
    return Atomics.load(this.#words, (this.#records[i] as number) + ACTOR_PROGRESS);
  }
}
