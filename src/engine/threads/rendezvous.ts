/**
 * Rendezvous of all workers, as the main thread conducts them: *freeze* (workers park where they are), *drain* (clients
 * finish their operation, then daemons, then servers) and *finish* (they return at the top of their loops).
 *
 * The main thread looks until all have answered. Its limit is patience (watchdog.ts) without any actor's moving, and six
 * times that in all, after which they are starved; what is late ends in the waits-for graph.
 */
import {
  ACTOR_STEPS,
  type Machine,
  WORKER_DRAINED,
  WORKER_PARKED,
  actorWord,
  workerWord,
} from '../../machine/layout.js';
import {
  ACTOR_ASLEEP,
  ACTOR_IDLE,
  ACTOR_RETURNED,
  NOT_PARKED,
  PHASE_DRAIN,
  PHASE_FINISH,
  PHASE_FREEZE,
  TIERS,
  actorState,
  allDrained,
  allParked,
  command,
  tierOf,
} from '../machine/phase.js';
import type { Plan } from '../../plan/plan.js';
import { type Hang, Patience } from './watchdog.js';
import { waitsFor } from '../machine/waits-for.js';

/** Looks by turns of the event loop before the main thread begins to sleep a millisecond between them. */
const QUICK_LOOKS = 50;
const PERIOD_MS = 20;
/** Actors that move are given so many times the limit of those that do not. */
const STARVED_LIMITS = 6;

/** Which limit was hit: nobody moved for `limitMs`, or they made `moves` steps in `limitMs` and are not there. */
interface Lateness {
  readonly moves: number;
  readonly limitMs: number;
}

const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));
export const sleepMs = (ms: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, ms));

/** Waits for `done`, `ms` milliseconds at most; leaves no timer behind. */
export async function within(ms: number, done: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  await Promise.race([done, new Promise<void>((resolve) => (timer = setTimeout(resolve, ms)))]);
  clearTimeout(timer);
}

export class Rendezvous {
  readonly #m: Machine;
  readonly #plan: Plan;
  /** Workers launched so far. */
  readonly #workers: () => number;
  readonly #limitMs: number;
  /** The run has ended meanwhile: stop looking. */
  readonly #over: () => boolean;

  constructor(m: Machine, plan: Plan, workers: () => number, limitMs: number, over: () => boolean) {
    this.#m = m;
    this.#plan = plan;
    this.#workers = workers;
    this.#limitMs = limitMs;
    this.#over = over;
  }

  /** Parks all workers. Returns what held them up, or null. They stay parked until the next command. */
  async freeze(): Promise<Hang | null> {
    command(this.#m, this.#workers(), PHASE_FREEZE);
    const until = await this.#until(() => allParked(this.#m, this.#workers()));
    if (until === null) return null;
    const awake = this.#workersWhere(
      (worker) => Atomics.load(this.#m.words, workerWord(this.#m, worker, WORKER_PARKED)) === NOT_PARKED,
    );
    return this.#late(until, `worker ${awake.join(', ')} did not park`, []);
  }

  /** Brings all actors to their idle points. */
  drain(): Promise<Hang | null> {
    return this.#byTier(PHASE_DRAIN, 'stop');
  }

  /** Lets all actors return. */
  finish(): Promise<Hang | null> {
    return this.#byTier(PHASE_FINISH, 'return');
  }

  async #byTier(first: number, what: string): Promise<Hang | null> {
    for (let tier = 0; tier < TIERS.length; tier++) {
      const phase = command(this.#m, this.#workers(), first + tier);
      const until = await this.#until(() => allDrained(this.#m, this.#workers(), phase));
      if (until === null) continue;
      const missing = new Set(
        this.#workersWhere(
          (worker) => Atomics.load(this.#m.words, workerWord(this.#m, worker, WORKER_DRAINED)) !== phase,
        ),
      );
      const resting = first === PHASE_DRAIN ? [ACTOR_IDLE, ACTOR_ASLEEP, ACTOR_RETURNED] : [ACTOR_RETURNED];
      const late = this.#plan.actors.flatMap((spec, actor) =>
        tierOf(spec) <= tier && !resting.includes(actorState(this.#m, actor)) ? [actor] : [],
      );
      const names = late.map((actor) => this.#plan.actors[actor]?.name).join(', ');
      return this.#late(until, `${names || `worker ${[...missing].join(', ')}`} did not ${what}`, late);
    }
    return null;
  }

  #workersWhere(test: (worker: number) => boolean): number[] {
    return Array.from({ length: this.#workers() }, (_, worker) => worker).filter(test);
  }

  #late({ moves, limitMs }: Lateness, text: string, actors: readonly number[]): Hang {
    const seconds = (limitMs / 1000).toFixed(0);
    return {
      reason: moves === 0 ? 'time limit' : 'starved',
      text:
        moves === 0
          ? `time limit: ${text}: nobody moved for ${seconds} s`
          : `starved: ${text} within ${seconds} s, in which all actors together made ${moves.toLocaleString('en')} steps`,
      actors,
      graph: waitsFor(this.#m, this.#plan),
    };
  }

  /** Null: done, or the run has ended meanwhile. Else the limit that was hit. */
  async #until(done: () => boolean): Promise<Lateness | null> {
    const patience = new Patience(PERIOD_MS);
    const first = this.#moves();
    const longest = STARVED_LIMITS * this.#limitMs;
    let moves = -1;
    let movedMs = 0;
    for (let look = 0; !done() && !this.#over(); look++) {
      await (look < QUICK_LOOKS ? turn() : sleepMs(1));
      patience.tick();
      const now = this.#moves();
      if (now !== moves) movedMs = patience.spentMs;
      moves = now;
      if (patience.spentMs - movedMs > this.#limitMs) return done() ? null : { moves: 0, limitMs: this.#limitMs };
      if (patience.spentMs > longest) return done() ? null : { moves: now - first, limitMs: longest };
    }
    return null;
  }

  #moves(): number {
    let moves = 0;
    this.#plan.actors.forEach((_, actor) => {
      moves += (this.#m.words[actorWord(this.#m, actor, ACTOR_STEPS)] as number) >>> 0;
    });
    return moves;
  }
}
