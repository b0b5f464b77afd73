/** The Lamport clocks of one worker's actors, as far as events are concerned. */
import { type Machine, WORKER_TIME, workerWord } from '../../machine/layout.js';
import type { RingWriter } from '../../events/ring.js';
import type { HostedActor } from './hosted-actor.js';

export class EventClock {
  readonly #m: Machine;
  readonly #worker: number;
  readonly #workers: number;
  readonly #ring: RingWriter;
  readonly #actors: readonly HostedActor[];
  /** The newest time that any of its actors had. */
  #newest = 0;

  constructor(m: Machine, worker: number, workers: number, ring: RingWriter, actors: readonly HostedActor[]) {
    this.#m = m;
    this.#worker = worker;
    this.#workers = workers;
    this.#ring = ring;
    this.#actors = actors;
  }

  /**
   * Brings the clocks of this worker's actors up to the newest of all workers, and publishes that as the bound below
   * which no event of this worker will come. A Lamport clock may jump ahead at any time; without this an actor that
   * seldom meets others would hold up merging.
   */
  publish(): void {
    if (!this.#ring.active) return;
    const { words } = this.#m;
    let newest = this.#newest;
    for (const a of this.#actors) if (a.ctx.task.time > newest) newest = a.ctx.task.time;
    for (let worker = 0; worker < this.#workers; worker++) {
      const ahead = ((words[workerWord(this.#m, worker, WORKER_TIME)] as number) - newest) | 0;
      if (ahead > 0) newest += ahead;
    }
    this.#newest = newest;
    words[workerWord(this.#m, this.#worker, WORKER_TIME)] = newest | 0;
    this.raise(newest);
    this.#ring.publish(newest);
  }

  /** No actor's clock stays behind `time`. */
  raise(time: number): void {
    for (const a of this.#actors) if (a.ctx.task.time < time) a.ctx.task.time = time;
  }
}
