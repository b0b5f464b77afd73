/**
 * The loop that runs the actors of one worker: round robin, each for a quantum of schedule points, in slices of about
 * half a millisecond. Between slices the host turns to its event loop (worker.ts).
 *
 * It is hot: a resume allocates nothing, and an actor that waits costs one plain load a round. Plain loads are enough to
 * see a change some time (the calls between them keep the compiler from keeping a value); nothing rests on them: before
 * the worker sleeps it looks through Atomics, and resumed kernel code reads the word again as the kernel would.
 */
import { FIRST_IDLE, FIRST_WAIT, IDLE_SLEEP, IDLE_TOP, IDLE_WORD, RETRY, WAIT_LOCK } from '../../machine/effects.js';
import {
  ACTOR_EFFECT,
  ACTOR_STATE,
  ACTOR_STEPS,
  ACTOR_WORKER,
  HDR_ABORT,
  HDR_CONTROL_SEQ,
  HDR_PHASE,
  type Machine,
  WORKER_CURRENT,
  WORKER_DRAINED,
  WORKER_SLICES,
  workerWord,
} from '../../machine/layout.js';
import { STAT, countStat } from '../../machine/stats.js';
import type { RingWriter } from '../../events/ring.js';
import type { HostOptions } from '../threads/control.js';
import { Doorbell } from './doorbell.js';
import { EventClock } from './event-clock.js';
import { HostTimers } from './host-timers.js';
import { holdUp, isHeldUp } from './held-up.js';
import {
  type HostedActor,
  MODE_ON_LOCK,
  MODE_ON_TIMER,
  MODE_ON_WORD,
  MODE_RETURNED,
  MODE_RUNNABLE,
  MODE_STOPPED,
  isWaitOver,
  recordWait,
} from './hosted-actor.js';
import {
  ACTOR_BLOCKED,
  ACTOR_IDLE,
  ACTOR_RETURNED,
  ACTOR_RUNNABLE,
  PARKED_ASLEEP,
  PHASE_END,
  PHASE_FREEZE,
  isDrain,
  isFinish,
  phaseKind,
  phaseTier,
} from '../machine/phase.js';
import {
  type HostHooks,
  READER_MS_MAX,
  SLEEP_MS_MAX,
  SLICE_ABORT,
  SLICE_CONTROL,
  SLICE_END,
  SLICE_FREEZE,
  SLICE_SPENT,
  backoffMicros,
} from './slice.js';

/** Resumes between two looks at the phase and the clock: about 30 us. */
const RESUMES_PER_LOOK = 16;
/** How far beyond its slice the blocking form goes on from wait to wait before the loop has its turn: a turn is dear. */
const OVERDUE_SLICES = 20;
/** Resumes out of an idle point after which an actor that ought to return is left to wait again. */
const NUDGES_MAX = 1000;

export class HostLoop {
  /** The actor that runs, or ran last: what a thrown error belongs to. */
  current: HostedActor | null = null;
  /** HDR_CONTROL_SEQ before the last turn of the event loop. */
  controlSeen = 0;
  quantum: number;
  sliceMicros: number;
  spinTurns: number;
  resumes = 0;
  sleeps = 0;
  ringWaits = 0;
  readonly doorbell: Doorbell;
  readonly clocks: EventClock;

  readonly #m: Machine;
  readonly #words: Int32Array;
  readonly #worker: number;
  readonly #ring: RingWriter;
  /** The ring has room for no more than so many records: wait for the reader. 0 = never look. */
  readonly #ringReserve: number;
  readonly #clock: () => number;
  readonly #timeouts: boolean;
  readonly #hooks: HostHooks;
  readonly #currentAt: number;
  readonly #actors: HostedActor[] = [];
  #phase: number;
  /** Actors that the DRAIN or FINISH still waits for. */
  #pending = 0;
  readonly #timers: HostTimers;
  #ringFull = false;
  #rung = false;
  #deadline = 0;

  /** @param ringReserve records that one resume may write; 0 when the ring never holds a worker up */
  constructor(
    m: Machine,
    worker: number,
    workers: number,
    ring: RingWriter,
    ringReserve: number,
    options: HostOptions,
    clock: () => number,
    hooks: HostHooks,
  ) {
    this.#m = m;
    this.#words = m.words;
    this.#worker = worker;
    this.#ring = ring;
    this.#ringReserve = ringReserve;
    this.#clock = clock;
    this.#timeouts = options.timeouts;
    this.#hooks = hooks;
    this.#timers = new HostTimers(this.#actors, clock);
    this.quantum = options.quantum;
    this.sliceMicros = options.sliceMicros;
    this.spinTurns = options.spinTurns;
    this.doorbell = new Doorbell(m, worker, ring);
    this.clocks = new EventClock(m, worker, workers, ring, this.#actors);
    this.#currentAt = workerWord(m, worker, WORKER_CURRENT);
    this.#phase = 0;
  }

  get wanted(): boolean {
    if (Atomics.load(this.#words, HDR_PHASE) !== this.#phase) return true;
    if (Atomics.load(this.#words, HDR_CONTROL_SEQ) !== this.controlSeen) return true;
    return this.#clock() >= this.#deadline + OVERDUE_SLICES * this.sliceMicros;
  }

  get actors(): readonly HostedActor[] {
    return this.#actors;
  }

  /** Takes an actor in, at the top of its loop. */
  add(a: HostedActor): void {
    this.#words[a.ctx.recordAt + ACTOR_WORKER] = this.#worker;
    if (a.mode === MODE_ON_TIMER) this.#timers.sleepUntil(a);
    else this.#words[a.ctx.recordAt + ACTOR_STATE] = ACTOR_RUNNABLE;
    this.#actors.push(a);
    this.applyPhase();
  }

  /** Forgets an actor that has returned. */
  remove(a: HostedActor): void {
    this.#actors.splice(this.#actors.indexOf(a), 1);
    this.applyPhase();
  }

  /** Resumes one actor, outside of a slice. */
  resumeApart(a: HostedActor): void {
    this.#enable(a);
    this.#resume(a);
  }

  /** Something waits for a turn of the event loop: the worker does not sleep before. */
  wantTurn(): void {
    this.controlSeen = -1;
  }

  /** Lets an actor return at the top of its loop. */
  retire(a: HostedActor): void {
    a.retiring = true;
    a.ctx.finish = true;
    if (a.kind >= FIRST_IDLE && a.mode !== MODE_STOPPED && a.mode !== MODE_RETURNED) this.#enable(a);
  }

  /** Runs actors until the slice is spent, or something else wants the worker. Throws what an actor throws. */
  slice(): number {
    const words = this.#words;
    const actors = this.#actors;
    this.#deadline = this.#clock() + this.sliceMicros;
    let first = true;
    let left = 0;
    const at = workerWord(this.#m, this.#worker, WORKER_SLICES);
    words[at] = ((words[at] as number) + 1) | 0;
    for (;;) {
      if (left <= 0) {
        left = RESUMES_PER_LOOK;
        if (Atomics.load(words, HDR_ABORT) !== 0) return SLICE_ABORT;
        const phase = Atomics.load(words, HDR_PHASE);
        if (phase !== this.#phase) this.applyPhase();
        if (phaseKind(phase) === PHASE_FREEZE) return SLICE_FREEZE;
        if (phaseKind(phase) === PHASE_END) return SLICE_END;
        if (this.#rung) this.#tryLocks();
        const now = this.#clock();
        if (now >= this.#timers.next) this.#timers.fire(now, (a) => this.#enable(a));
        if (now >= this.#deadline && !first) return SLICE_SPENT;
        first = false;
      }
      let ran = false;
      for (let i = 0; i < actors.length; i++) {
        const a = actors[i] as HostedActor;
        if (a.mode !== MODE_RUNNABLE && !this.#ready(a)) continue;
        if (this.#ringReserve !== 0 && this.#ring.room() < this.#ringReserve && !this.#awaitReader(a)) {
          return SLICE_CONTROL;
        }
        this.#resume(a);
        ran = true;
        left--;
      }
      if (ran || this.#spin()) continue;
      if (!this.#sleep()) return SLICE_CONTROL;
      left = 0;
    }
  }

  /** Brings the actors' orders in line with HDR_PHASE. */
  applyPhase(): void {
    const phase = Atomics.load(this.#words, HDR_PHASE);
    this.#phase = phase;
    const tier = phaseTier(phase);
    this.#pending = 0;
    for (const a of this.#actors) {
      if (a.mode === MODE_RETURNED) continue;
      if (isHeldUp(a) && tier >= 0) this.#enable(a);
      const concerned = a.tier <= tier;
      a.ctx.drain = concerned && isDrain(phase);
      a.ctx.finish = a.retiring || (concerned && isFinish(phase));
      if (a.ctx.drain) {
        if (a.mode === MODE_STOPPED) continue;
        if (a.kind >= FIRST_IDLE) this.#stop(a);
        else this.#pending++;
        continue;
      }
      if (a.mode === MODE_STOPPED) {
        a.mode = a.modeBeforeStop;
        if (a.mode === MODE_RUNNABLE) this.#enable(a);
        // the timers that were due while it stood still did not count it
        else if (a.mode === MODE_ON_TIMER) this.#timers.again(a);
      }
      if (!a.ctx.finish) continue;
      if (concerned) this.#pending++;
      if (a.kind >= FIRST_IDLE) this.#enable(a);
    }
    if (tier >= 0 && this.#pending === 0) this.#tellDrained();
  }

  /** Sleeps while the doorbell says `sample`, `ms` at most. */
  park(sample: number, parked: number, ms: number): void {
    const longest = this.#timeouts && this.#actors.length > 0 ? SLEEP_MS_MAX : Infinity;
    this.clocks.raise(this.doorbell.wait(sample, parked, Math.min(ms, longest)));
  }

  /** Lets the actor go on if its wait is over. */
  #ready(a: HostedActor): boolean {
    if (!isWaitOver(a, this.#words)) return false;
    this.#enable(a);
    return true;
  }

  /** A lock that was free meanwhile and is taken again looks as before: each ring is worth an attempt (locks/queue.ts). */
  #tryLocks(): void {
    this.#rung = false;
    for (const a of this.#actors) if (a.mode === MODE_ON_LOCK) this.#enable(a);
  }

  #enable(a: HostedActor): void {
    a.mode = MODE_RUNNABLE;
    this.#words[a.ctx.recordAt + ACTOR_STATE] = ACTOR_RUNNABLE;
  }

  /** Runs the actor until it yields. */
  #resume(a: HostedActor): void {
    const words = this.#words;
    const ctx = a.ctx;
    this.current = a;
    words[this.#currentAt] = a.actor + 1;
    const given = Math.min(this.quantum, a.noise?.left ?? this.quantum);
    ctx.quantum = given;
    this.resumes++;
    const step = a.coroutine.next();
    const record = ctx.recordAt;
    words[record + ACTOR_STEPS] = ((words[record + ACTOR_STEPS] as number) + 1) | 0;
    if (step.done === true) return this.#returned(a);
    const effect = step.value;
    const kind = effect & 15;
    words[record + ACTOR_EFFECT] = effect;
    a.kind = kind;
    if (kind >= FIRST_WAIT) this.#block(a, kind, effect >>> 4);
    else if (a.noise !== null && holdUp(this.#m, a, a.noise, given, this.#phase, this.#clock))
      this.#timers.sleepUntil(a);
    else if (effect === RETRY && this.#timeouts) this.#timers.giveWay(a, backoffMicros(ctx.retries));
  }

  #block(a: HostedActor, kind: number, word: number): void {
    const ctx = a.ctx;
    a.word = word;
    a.value = ctx.waitValue;
    if (kind < FIRST_IDLE) {
      a.mode = kind === WAIT_LOCK ? MODE_ON_LOCK : MODE_ON_WORD;
      recordWait(a, ACTOR_BLOCKED);
      return;
    }
    if (kind === IDLE_WORD) {
      a.mode = MODE_ON_WORD;
      recordWait(a, ACTOR_IDLE);
    } else if (kind === IDLE_SLEEP) {
      a.mode = MODE_ON_TIMER;
      a.wakeAt = this.#clock() + ctx.sleepMicros;
      this.#timers.sleepUntil(a);
    }
    if (ctx.finish) {
      if (a.nudges++ < NUDGES_MAX || kind === IDLE_TOP) this.#enable(a);
    } else if (ctx.drain) {
      this.#stop(a);
      if (--this.#pending === 0) this.#tellDrained();
    }
  }

  #stop(a: HostedActor): void {
    a.modeBeforeStop = a.mode;
    if (a.mode === MODE_RUNNABLE) recordWait(a, ACTOR_IDLE);
    a.mode = MODE_STOPPED;
  }

  #returned(a: HostedActor): void {
    a.mode = MODE_RETURNED;
    this.#words[a.ctx.recordAt + ACTOR_STATE] = ACTOR_RETURNED;
    this.#hooks.returned(a);
    if (a.tier <= phaseTier(this.#phase) && --this.#pending === 0) this.#tellDrained();
  }

  #tellDrained(): void {
    this.#hooks.beforeDrained();
    this.clocks.publish();
    Atomics.store(this.#words, workerWord(this.#m, this.#worker, WORKER_DRAINED), this.#phase);
  }

  /** All actors wait: looks again some turns, since a sleep costs as much as a thousand looks. */
  #spin(): boolean {
    const actors = this.#actors;
    for (let turn = 0; turn < this.spinTurns; turn++) {
      this.doorbell.sample();
      let waiting = false;
      for (let i = 0; i < actors.length; i++) {
        const a = actors[i] as HostedActor;
        if (a.mode !== MODE_ON_LOCK && a.mode !== MODE_ON_WORD) continue;
        if (this.#ready(a)) return true;
        waiting = true;
      }
      if (!waiting) return false;
    }
    return false;
  }

  /**
   * Sleeps until the doorbell rings or a timer is due, by the protocol of machine/wait.ts.
   * @returns false when the event loop is wanted instead
   */
  #sleep(): boolean {
    const words = this.#words;
    const sample = this.doorbell.sample();
    if (Atomics.load(words, HDR_CONTROL_SEQ) !== this.controlSeen) return false;
    if (Atomics.load(words, HDR_PHASE) !== this.#phase || Atomics.load(words, HDR_ABORT) !== 0) return true;
    let sleeper: HostedActor | null = null;
    for (const a of this.#actors) {
      if (a.mode !== MODE_ON_LOCK && a.mode !== MODE_ON_WORD) continue;
      sleeper ??= a;
      if (!this.doorbell.register(a)) {
        this.#enable(a);
        return true;
      }
    }
    this.clocks.publish();
    const due = (this.#timers.next - this.#clock()) / 1000;
    if (due <= 0) return true;
    this.sleeps++;
    if (sleeper !== null) countStat(this.#m, sleeper.actor, STAT.sleeps, 1);
    this.park(sample, PARKED_ASLEEP, due);
    if (this.doorbell.sample() !== sample) this.#rung = true;
    return true;
  }

  /** A lossless ring is full. False: the event loop is wanted, or room is still missing. */
  #awaitReader(a: HostedActor): boolean {
    const begins = !this.#ringFull;
    if (begins) {
      this.#ringFull = true;
      this.ringWaits++;
      countStat(this.#m, a.actor, STAT.waits, 1);
    }
    if (!this.doorbell.waitForReader(this.#ringReserve, READER_MS_MAX, begins)) return false;
    this.#ringFull = false;
    // a freeze may have begun meanwhile
    if (Atomics.load(this.#words, HDR_PHASE) !== this.#phase) return false;
    return Atomics.load(this.#words, HDR_CONTROL_SEQ) === this.controlSeen;
  }
}
