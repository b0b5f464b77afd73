/**
 * Finds out that a simulation on real threads goes nowhere. Three ways, none of which takes a stopped or starved machine
 * for a hang:
 *
 *   deadlock   a circle in the waits-for graph whose members have not moved between two looks, or a wait for a lock whose
 *              holder has returned. Exact: whoever is disabled by a lock of another disabled actor stays so, however long
 *              one looks.
 *   standstill everybody waits in the middle of an operation or for a word, nobody can run, no timer is set. Exact too.
 *   no step    an actor that is not idle has not moved while the process used much CPU time: a loop without a schedule
 *              point, or a wait that nobody ends while others work. Where nobody works no CPU time passes; then
 *              it counts *patience*: the sum of its own ticks, each counted for two periods at most.
 */
import {
  ACTOR_PROGRESS,
  ACTOR_STEPS,
  ACTOR_WORKER,
  type Machine,
  WORKER_PARKED,
  actorWord,
  workerWord,
} from '../../machine/layout.js';
import {
  ACTOR_ABSENT,
  ACTOR_ASLEEP,
  ACTOR_BLOCKED,
  ACTOR_IDLE,
  ACTOR_RETURNED,
  ACTOR_THREW,
  PARKED_FROZEN,
  PARKED_RING_FULL,
  actorState,
} from '../machine/phase.js';
import type { Plan } from '../../plan/plan.js';
import { type WaitsForGraph, isDisabled, waitingActors, waitsFor } from '../machine/waits-for.js';

export interface WatchdogOptions {
  /** CPU time of the whole process without a step, per worker, milliseconds. */
  readonly cpuMs: number;
  /** Patience without a step where no CPU time passes, milliseconds. */
  readonly patienceMs: number;
  readonly periodMs: number;
}

export const WATCHDOG_DEFAULTS: WatchdogOptions = { cpuMs: 4000, patienceMs: 15_000, periodMs: 100 };

export interface Hang {
  readonly reason: 'deadlock' | 'standstill' | 'no step' | 'time limit' | 'starved';
  /** One line. */
  readonly text: string;
  /** The actors that it is about. */
  readonly actors: readonly number[];
  readonly graph: WaitsForGraph;
}

/** Milliseconds that count for a wait: a tick that came late counts for two periods, so that being stopped is no wait. */
export class Patience {
  readonly #periodMs: number;
  #last = performance.now();
  spentMs = 0;

  constructor(periodMs: number) {
    this.#periodMs = periodMs;
  }

  tick(): void {
    const now = performance.now();
    this.spentMs += Math.min(now - this.#last, 2 * this.#periodMs);
    this.#last = now;
  }

  reset(): void {
    this.#last = performance.now();
    this.spentMs = 0;
  }
}

export class Watchdog {
  readonly #m: Machine;
  readonly #plan: Plan;
  /** Workers launched so far. */
  readonly #workers: () => number;
  readonly #options: WatchdogOptions;
  readonly #patience: Patience;
  readonly #cpuMs: () => number;
  /** Per actor: its steps and progress at the last look, and CPU time and patience when they last changed. */
  readonly #moves: Float64Array;
  readonly #movedCpu: Float64Array;
  readonly #movedPatience: Float64Array;
  /** Whether the actor moved between the last two looks. */
  readonly #moved: boolean[];

  constructor(
    m: Machine,
    plan: Plan,
    workers: () => number,
    options: WatchdogOptions,
    cpuMs: () => number = processCpuMs,
  ) {
    this.#m = m;
    this.#plan = plan;
    this.#workers = workers;
    this.#options = options;
    this.#patience = new Patience(options.periodMs);
    this.#cpuMs = cpuMs;
    this.#moves = new Float64Array(plan.actors.length).fill(-1);
    this.#movedCpu = new Float64Array(plan.actors.length);
    this.#movedPatience = new Float64Array(plan.actors.length);
    this.#moved = plan.actors.map(() => true);
  }

  /** Forgets what it saw: after a freeze or a drain. */
  reset(): void {
    this.#moves.fill(-1);
    this.#patience.reset();
  }

  /** One look; to be called every `periodMs` while actors are supposed to run. */
  look(): Hang | null {
    this.#patience.tick();
    const cpu = this.#cpuMs();
    this.#plan.actors.forEach((_, actor) => {
      const moves = this.#movesOf(actor);
      const moved = moves !== this.#moves[actor];
      this.#moved[actor] = moved;
      if (!moved && !this.#heldUp(actor)) return;
      this.#moves[actor] = moves;
      this.#movedCpu[actor] = cpu;
      this.#movedPatience[actor] = this.#patience.spentMs;
    });
    return this.#deadlock() ?? this.#noStep(cpu);
  }

  #movesOf(actor: number): number {
    const steps = Atomics.load(this.#m.words, actorWord(this.#m, actor, ACTOR_STEPS)) >>> 0;
    return steps + (Atomics.load(this.#m.words, actorWord(this.#m, actor, ACTOR_PROGRESS)) >>> 0);
  }

  /** Whether none of them has been resumed since the last look: only then were their waits true all at once. */
  #allStill(actors: readonly number[]): boolean {
    return actors.every((actor) => {
      const state = actorState(this.#m, actor);
      return (
        (isOver(state) || state === ACTOR_BLOCKED || state === ACTOR_IDLE) &&
        this.#movesOf(actor) === this.#moves[actor]
      );
    });
  }

  /** Its worker waits for the reader of its events, or was paused alone: no fault of the actor's. */
  #heldUp(actor: number): boolean {
    const worker = this.#m.words[actorWord(this.#m, actor, ACTOR_WORKER)] as number;
    const parked = Atomics.load(this.#m.words, workerWord(this.#m, worker, WORKER_PARKED));
    return parked === PARKED_RING_FULL || parked === PARKED_FROZEN;
  }

  #deadlock(): Hang | null {
    const states = this.#plan.actors.map((_, actor) => actorState(this.#m, actor));
    const still = waitingActors(this.#m, this.#plan).filter(
      (wait) => this.#moved[wait.actor] === false && isDisabled(this.#m, wait),
    );
    if (still.length === 0) return null;
    const { cycle, edges } = waitsFor(this.#m, this.#plan, still);
    if (cycle.length > 0 && this.#allStill(cycle)) {
      return this.#hang('deadlock', cycle, `${this.#names(cycle)} wait for each other`);
    }
    for (const edge of edges) {
      const gone = edge.holders.find((holder) => isOver(states[holder.actor] ?? ACTOR_ABSENT));
      if (gone === undefined || !this.#allStill([edge.actor])) continue;
      return this.#hang(
        'deadlock',
        [edge.actor],
        `${edge.name} waits for ${edge.what}, and ${gone.name}, who holds it, has returned`,
      );
    }
    const stuck = still.filter((wait) => states[wait.actor] === ACTOR_BLOCKED).map((wait) => wait.actor);
    const waits = new Set(still.map((wait) => wait.actor));
    const standstill = states.every((state, actor) => isOver(state) || waits.has(actor));
    if (stuck.length === 0 || !standstill || !this.#allStill(states.map((_, actor) => actor))) return null;
    return this.#hang('standstill', stuck, `${this.#names(stuck)} wait, and nobody is left who could run`);
  }

  #noStep(cpu: number): Hang | null {
    const { cpuMs, patienceMs } = this.#options;
    const stuck = this.#plan.actors.flatMap((_, actor) => {
      const state = actorState(this.#m, actor);
      if (isOver(state) || state === ACTOR_IDLE || state === ACTOR_ASLEEP) return [];
      const byCpu = cpu - (this.#movedCpu[actor] as number) > cpuMs * this.#workers();
      const byPatience =
        state === ACTOR_BLOCKED && this.#patience.spentMs - (this.#movedPatience[actor] as number) > patienceMs;
      return byCpu || byPatience ? [actor] : [];
    });
    if (stuck.length === 0) return null;
    const limits = `${cpuMs * this.#workers()} ms of CPU time, or ${patienceMs} ms asleep`;
    return this.#hang('no step', stuck, `${this.#names(stuck)} made no step (limits: ${limits})`);
  }

  #names(actors: readonly number[]): string {
    return actors.map((actor) => this.#plan.actors[actor]?.name ?? `actor ${actor}`).join(', ');
  }

  #hang(reason: Hang['reason'], actors: readonly number[], text: string): Hang {
    return { reason, text: `${reason}: ${text}`, actors, graph: waitsFor(this.#m, this.#plan) };
  }
}

const isOver = (state: number): boolean => state === ACTOR_ABSENT || state === ACTOR_RETURNED || state === ACTOR_THREW;

/** CPU time that this process has used, user and system, milliseconds. */
function processCpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
