/**
 * What stands behind a schedule point of the kernel's blocking form (.ci/blocking.mjs): the actor is alone on its worker,
 * so a wait is done in place, by the same protocol by which a host loop sleeps (machine/wait.ts), and a point at
 * which the quantum is spent only looks whether the run is being aborted and whether the event ring has room.
 *
 * A freeze lets the operation under way go on; the actor stops at its next idle point, or where it sleeps. One that does not
 * get there stops where it is: it may retry until somebody goes on who is frozen in the middle of an operation.
 */
import type { Context, Waiter } from '../../machine/context.js';
import { FIRST_WAIT, RETRY, WAIT_LOCK, effectKind, effectWord } from '../../machine/effects.js';
import {
  ACTOR_EFFECT,
  ACTOR_STATE,
  ACTOR_STEPS,
  HDR_ABORT,
  HDR_PHASE,
  type Machine,
  WORKER_CURRENT,
  workerWord,
} from '../../machine/layout.js';
import { STAT, countStat } from '../../machine/stats.js';
import { WAITERS } from '../../machine/wait.js';
import type { RingWriter } from '../../events/ring.js';
import type { Doorbell } from './doorbell.js';
import type { EventClock } from './event-clock.js';
import type { NoiseMaker } from './noise.js';
import { Others } from './others.js';
import { type HostedActor, MODE_ON_LOCK, MODE_ON_WORD, MODE_RUNNABLE, recordWait } from './hosted-actor.js';
import {
  ACTOR_BLOCKED,
  ACTOR_RUNNABLE,
  PARKED_ASLEEP,
  PARKED_FROZEN,
  PHASE_FREEZE,
  PHASE_RUN,
  phaseKind,
} from '../machine/phase.js';
import { READER_MS_MAX, SLEEP_MS_MAX, backoffMicros } from './slice.js';

/** Thrown through the actor's stack when the run is aborted: nobody will ring. */
export class Aborted extends Error {
  override readonly name = 'Aborted';
}

/** The noisy form counts every point, the plain one acquisitions only: so many points are as long as one of them. */
const NOISY_QUANTA = 4;
/** Of a delay that has taken longer than it was meant to, one in so many microseconds counts. */
const LATE_SHARE = 4;
/** The first nap of a delay, microseconds; each is twice as long as the one before, up to the longest. */
const NAP_MICROS = 50;
const NAP_MICROS_MAX = 400;

/** Points (of those that get here) in a freeze after which an operation is taken for one that does not end: milliseconds. */
const FROZEN_POINTS_MAX = 200;

/** The parts of a host that a waiter uses, and the host's knobs, which may change. */
interface WaiterHost {
  readonly doorbell: Doorbell;
  readonly clocks: EventClock;
  quantum: number;
  spinTurns: number;
  sleeps: number;
  ringWaits: number;
  /** Whether the host's loop wants the worker back: another phase, a call, the end of the slice. */
  readonly wanted: boolean;
}

export class BlockingWaiter implements Waiter {
  readonly #m: Machine;
  readonly #words: Int32Array;
  readonly #host: WaiterHost;
  readonly #ring: RingWriter;
  readonly #ringReserve: number;
  readonly #timeoutMs: number;
  readonly #currentAt: number;
  #actor: HostedActor | null = null;
  /** Who shall have had a turn before an actor that is held up goes on. */
  #others: Others | null = null;
  /** Points passed since the freeze began. */
  #frozenPoints = 0;
  /** Points that the actor was given last, where it has a noise maker. */
  #given = 0;

  constructor(m: Machine, worker: number, host: WaiterHost, ring: RingWriter, ringReserve: number, timeouts: boolean) {
    this.#m = m;
    this.#words = m.words;
    this.#host = host;
    this.#ring = ring;
    this.#ringReserve = ringReserve;
    this.#timeoutMs = timeouts ? SLEEP_MS_MAX : Infinity;
    this.#currentAt = workerWord(m, worker, WORKER_CURRENT);
  }

  /** The one actor of the worker, and the run's clients. */
  serve(actor: HostedActor, clients: readonly number[]): void {
    this.#actor = actor;
    this.#others = new Others(this.#m, clients, actor.actor);
  }

  yielded(ctx: Context, effect: number, site = 0): void {
    const words = this.#words;
    const steps = ctx.recordAt + ACTOR_STEPS;
    words[steps] = ((words[steps] as number) + 1) | 0;
    words[ctx.recordAt + ACTOR_EFFECT] = effect;
    if (Atomics.load(words, HDR_ABORT) !== 0) throw new Aborted();
    if (this.#ringReserve !== 0 && this.#ring.room() < this.#ringReserve) this.#awaitReader(ctx);
    if (effect === RETRY) this.#giveWay(ctx, backoffMicros(ctx.retries));
    if (effectKind(effect) >= FIRST_WAIT) this.#await(ctx, effectKind(effect), effectWord(effect));
    else if (!this.#frozen()) this.#frozenPoints = 0;
    else if (++this.#frozenPoints > FROZEN_POINTS_MAX) this.#freeze(ctx);
    const { noise } = this.#actor as HostedActor;
    ctx.quantum = noise === null ? this.#host.quantum : this.#noise(noise, ctx, effectKind(effect), site);
    // waits and retries come here in every operation: the loop would never have its turn, did each of them begin a new quantum
    if (this.#host.wanted) this.#given = ctx.quantum = 0;
  }

  /** The noise maker's turn, before the effect. Returns the points until its next one. */
  #noise(noise: NoiseMaker, ctx: Context, kind: number, site: number): number {
    const most = NOISY_QUANTA * this.#host.quantum;
    const micros = noise.at(site, kind, ctx.clock, this.#given - ctx.quantum, most);
    if (micros > 0 && phaseKind(Atomics.load(this.#words, HDR_PHASE)) === PHASE_RUN) this.#hold(noise, ctx, micros);
    this.#given = noise.left;
    return noise.left;
  }

  /**
   * Holds the actor up until others have had their turns, `micros` at most, or until there is something else to do: the run is to be
   * drained, frozen or ended.
   */
  #hold(noise: NoiseMaker, ctx: Context, micros: number): void {
    const words = this.#words;
    const from = ctx.clock();
    const others = this.#others as Others;
    others.begin(noise.draw());
    let now = from;
    let asked = 0;
    for (let nap = NAP_MICROS; now - from < micros; nap = Math.min(2 * nap, NAP_MICROS_MAX)) {
      const sample = this.#host.doorbell.sample();
      if (Atomics.load(words, HDR_ABORT) !== 0) throw new Aborted();
      if (phaseKind(Atomics.load(words, HDR_PHASE)) !== PHASE_RUN) break;
      this.#host.clocks.publish();
      const rest = Math.min(nap, micros - (now - from));
      asked += rest;
      this.#host.clocks.raise(this.#host.doorbell.wait(sample, PARKED_ASLEEP, rest / 1000));
      words[this.#currentAt] = ctx.actor + 1;
      now = ctx.clock();
      if (others.haveMoved()) break;
    }
    if (this.#frozen()) this.#freeze(ctx);
    // a busy machine wakes sleepers late: that is no noise of ours, though it works like one
    noise.held(now, Math.max(asked, (now - from) / LATE_SHARE));
    countStat(this.#m, ctx.actor, STAT.noise_delays, 1);
    countStat(this.#m, ctx.actor, STAT.noise_us, Math.round(now - from));
  }

  /** Waits while `word` holds ctx.waitValue: looks for some turns, then sleeps. */
  #await(ctx: Context, kind: number, word: number): void {
    const words = this.#words;
    const value = ctx.waitValue;
    const mask = kind === WAIT_LOCK ? ~WAITERS : -1;
    const { doorbell } = this.#host;
    for (let turn = this.#host.spinTurns; turn > 0; turn--) {
      doorbell.sample();
      if (((words[word] as number) & mask) !== value) return;
    }
    const actor = this.#actor as HostedActor;
    actor.kind = kind;
    actor.word = word;
    actor.value = value;
    actor.mode = kind === WAIT_LOCK ? MODE_ON_LOCK : MODE_ON_WORD;
    recordWait(actor, ACTOR_BLOCKED);
    // a lock that was free meanwhile and is taken again looks as before: each ring is worth an attempt (locks/queue.ts)
    let rung = false;
    for (;;) {
      const sample = doorbell.sample();
      if (Atomics.load(words, HDR_ABORT) !== 0) throw new Aborted();
      const frozen = this.#frozen();
      if (!frozen && ((rung && kind === WAIT_LOCK) || !doorbell.register(actor))) break;
      if (!frozen) this.#host.clocks.publish();
      this.#sleep(ctx, sample, frozen ? PARKED_FROZEN : PARKED_ASLEEP);
      if (doorbell.sample() !== sample) rung = true;
      if (!this.#frozen() && (Atomics.load(words, word) & mask) !== value) break;
    }
    actor.mode = MODE_RUNNABLE;
    words[ctx.recordAt + ACTOR_STATE] = ACTOR_RUNNABLE;
  }

  #frozen(): boolean {
    return phaseKind(Atomics.load(this.#words, HDR_PHASE)) === PHASE_FREEZE;
  }

  /** Stands still in the middle of an operation until the freeze is over. */
  #freeze(ctx: Context): void {
    for (;;) {
      const sample = this.#host.doorbell.sample();
      if (Atomics.load(this.#words, HDR_ABORT) !== 0) throw new Aborted();
      if (!this.#frozen()) break;
      this.#host.clocks.publish();
      this.#sleep(ctx, sample, PARKED_FROZEN);
    }
    this.#frozenPoints = 0;
  }

  /** Leaves the CPU to others for `micros`. */
  #giveWay(ctx: Context, micros: number): void {
    if (micros === 0 || this.#timeoutMs === Infinity) return;
    this.#host.clocks.publish();
    this.#sleep(ctx, this.#host.doorbell.sample(), PARKED_ASLEEP, micros / 1000);
    if (this.#frozen()) this.#freeze(ctx);
  }

  #sleep(ctx: Context, sample: number, parked: number, longestMs = this.#timeoutMs): void {
    this.#host.sleeps++;
    countStat(this.#m, ctx.actor, STAT.sleeps, 1);
    this.#host.clocks.raise(this.#host.doorbell.wait(sample, parked, longestMs));
    this.#words[this.#currentAt] = ctx.actor + 1;
  }

  /** A lossless ring is full: the reader's turn. */
  #awaitReader(ctx: Context): void {
    this.#host.ringWaits++;
    countStat(this.#m, ctx.actor, STAT.waits, 1);
    for (
      let begins = true;
      !this.#host.doorbell.waitForReader(this.#ringReserve, READER_MS_MAX, begins);
      begins = false
    ) {
      if (Atomics.load(this.#words, HDR_ABORT) !== 0) throw new Aborted();
    }
  }
}
