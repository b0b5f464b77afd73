/** An actor of one machine of a litmus run on real threads: started anew each round, run as far as it comes, looked at again. */
import { ACTOR_KINDS } from '../../../../actors/index.js';
import { FIRST_WAIT, effectKind } from '../../../machine/effects.js';
import { Context, type EventWriter, type Kernel, mixSeed } from '../../../machine/context.js';
import type { Machine } from '../../../machine/layout.js';
import { Driven } from '../../../engine/machine/driven.js';
import type { Plan } from '../../../plan/plan.js';
import type { OracleProbe } from '../../../oracle/index.js';

/** Schedule points of an actor that has its worker to itself before others are looked at; and of both kinds, how many turns. */
const QUANTUM = 4096;
const OWN_TURNS = 1;
const SHARED_TURNS = 400;
/** Points that an actor passes before another one of the same machine and worker has its turn. */
const SHARED_QUANTUM = 24;

export class Player {
  readonly m: Machine;
  readonly machine: number;
  readonly probe: OracleProbe;
  readonly #plan: Plan;
  readonly #kernel: Kernel;
  readonly #actor: number;
  readonly #events: EventWriter;
  readonly #quantum: number;
  readonly #turnsMax: number;
  #turns = 0;
  /** It was preempted, and has not gone on since. */
  preempted = false;
  #points = 0;
  #ctx: Context | undefined;
  #driven: Driven | null = null;

  /** @param shared its worker hosts other actors of the same machine */
  constructor(
    plan: Plan,
    kernel: Kernel,
    m: Machine,
    machine: number,
    actor: number,
    probe: OracleProbe,
    events: EventWriter,
    shared: boolean,
  ) {
    this.#events = events;
    this.#quantum = shared ? SHARED_QUANTUM : QUANTUM;
    this.#turnsMax = shared ? SHARED_TURNS : OWN_TURNS;
    this.#plan = plan;
    this.#kernel = kernel;
    this.m = m;
    this.machine = machine;
    this.#actor = actor;
    this.probe = probe;
  }

  /** @param points schedule points after which it is left behind once; 0 = never */
  start(points: number): void {
    this.#points = points;
    this.#turns = 0;
    this.preempted = false;
    const { m, probe } = this;
    const plan = this.#plan;
    const spec = plan.actors[this.#actor] as Plan['actors'][number];
    const seed = mixSeed(plan.seed, this.machine);
    const ctx = new Context(m, this.#kernel, probe, this.#events, this.#actor, spec.node, seed, undefined, this.#ctx);
    this.#ctx = ctx;
    this.#driven = new Driven(ctx, (ACTOR_KINDS[spec.kind] as (typeof ACTOR_KINDS)[string])(ctx, spec, plan));
  }

  /** Goes on as far as it can. True: it has ended. */
  run(): boolean {
    const driven = this.#driven as Driven;
    for (;;) {
      const points = this.#points;
      this.#points = 0;
      driven.resume(points > 0 ? points : this.#quantum);
      if (driven.done) return true;
      if (effectKind(driven.effect) >= FIRST_WAIT) {
        if (!driven.canGo) return false;
        continue;
      }
      // its turn is over, or a retry may be made at once
      if (driven.ctx.quantum >= 0) continue;
      // a guest that faults again and again may be waiting for somebody who was preempted
      this.#turns++;
      this.preempted = points > 0 || this.#turns > this.#turnsMax;
      return false;
    }
  }

  /** Whether what it waits for has come about. */
  canGo(): boolean {
    return (this.#driven as Driven).canGo;
  }

  /** A server whose clients have ended returns at its next idle point. */
  finish(): void {
    (this.#ctx as Context).finish = true;
  }
}
