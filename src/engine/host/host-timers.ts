/** The timers of a host's actors: who sleeps until when. */
import { type HostedActor, MODE_ON_TIMER, recordWait } from './hosted-actor.js';
import { ACTOR_ASLEEP } from '../machine/phase.js';

export class HostTimers {
  readonly #actors: readonly HostedActor[];
  readonly #clock: () => number;
  /** The earliest, host clock; Infinity when there is none. */
  next = Infinity;

  constructor(actors: readonly HostedActor[], clock: () => number) {
    this.#actors = actors;
    this.#clock = clock;
  }

  /** The actor sleeps until its `wakeAt`, between two operations. */
  sleepUntil(a: HostedActor): void {
    this.#note(a);
    recordWait(a, ACTOR_ASLEEP);
  }

  /** An actor in a retry loop stands back for `micros`, in the middle of its operation. */
  giveWay(a: HostedActor, micros: number): void {
    if (micros === 0) return;
    a.mode = MODE_ON_TIMER;
    a.wakeAt = this.#clock() + micros;
    this.#note(a);
  }

  /** One that stood still goes on: its timer counts again. */
  again(a: HostedActor): void {
    this.#note(a);
  }

  /** Lets those go on whose time has come. */
  fire(now: number, enable: (a: HostedActor) => void): void {
    this.next = Infinity;
    for (const a of this.#actors) {
      if (a.mode !== MODE_ON_TIMER) continue;
      if (a.wakeAt <= now) enable(a);
      else this.#note(a);
    }
  }

  #note(a: HostedActor): void {
    if (a.wakeAt < this.next) this.next = a.wakeAt;
  }
}
