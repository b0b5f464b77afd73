/**
 * The one-thread engine: runs a program's coroutines one step at a time in the order that a strategy chooses. A step is one
 * resume of one actor: it performs the effect that the actor yielded last and goes on to its next point.
 *
 *   reset the program, start every actor (up to its first point, which touches nothing shared)
 *   until nobody can run:   who can run? -> strategy.pick -> record the choice -> resume -> a rule broken?
 *
 * An actor that waits for (word, value) cannot run while the word holds that value (of lock words, their WAITERS bit apart).
 * Nobody can run: finished when all are done, else a deadlock. Every way to end is a named outcome, none is a hang. A schedule that
 * reaches its step limit goes on as a fair one, unrecorded, which shows whether it would ever end (fair-phase.ts).
 *
 * The loop runs tens of millions of steps a second, so it allocates nothing of its own and keeps everything in typed arrays
 * and locals.
 */
import type { Coroutine } from '../../machine/context.js';
import { FIRST_WAIT, IDLE_WORD, LOCAL, WAIT_LOCK, WAIT_WORD } from '../../machine/effects.js';
import { CoroutineStack, resume, stopRunning } from './coroutine-stack.js';
import {
  END_DEADLOCK,
  END_DRAINED,
  END_EXCEPTION,
  END_FINISHED,
  END_LIVELOCK,
  END_MISMATCH,
  END_PRUNED,
  END_STEP_LIMIT,
  END_VIOLATION,
} from './end-kinds.js';
import { type ActorLoop, FAIR_LIMITS, RoundRobin, livelockBreach, tellLoops } from './fair-phase.js';
import { type Program, TIERS, type Waiting } from './program.js';
import type { Violation } from '../../oracle/violation.js';
import { type Outcome, endText, outcomeOf, outcomeText } from './outcome.js';
import type { StepObserver } from './step-observer.js';
import { PRUNE, ScheduleView, type Strategy } from '../strategies/strategy.js';
import { UndeclaredLog } from './undeclared-log.js';

export * from './end-kinds.js';
export type { StepObserver } from './step-observer.js';
export type { Undeclared } from './undeclared-log.js';

/** How an actor stands: in `waitWord`, beside the words it may wait for. */
const RUNNABLE = -1;
const DONE = -2;

export class OneThread {
  readonly program: Program;
  readonly stepsMax: number;
  /** Of the schedule that ran last: who ran in each of its `steps` steps. */
  readonly choices: Uint8Array;
  steps = 0;
  end = END_FINISHED;
  /** What was broken, when `end` is END_VIOLATION. */
  breaches: readonly Violation[] = [];
  /** What an actor threw, and who, when `end` is END_EXCEPTION. */
  error: unknown = undefined;
  errorActor = -1;
  observer: StepObserver | null = null;
  /** Whether a schedule at its step limit goes on as a fair one; without, it just ends there. */
  fair = true;
  /** Whether a schedule goes on past broken rules (at `breachSteps`) to an end of its own: `ended`. */
  goesOn = false;
  ended = END_FINISHED;
  readonly breachSteps: number[] = [];
  /** Of a livelock: what goes round, in lines. */
  livelock: readonly string[] = [];
  readonly view = new ScheduleView();
  /** Accesses that nothing has ordered, in this schedule and those before it. */
  readonly undeclared: UndeclaredLog;

  readonly #coroutines: Coroutine<void>[] = [];
  /** Of deep programs, instead. */
  readonly #stacks: CoroutineStack[];
  /** Who ran in the fair phase; made when one is run. */
  #fairChoices = new Uint8Array(0);
  readonly #waitWord: Int32Array;
  readonly #waitValue: Int32Array;
  readonly #waitMask: Int32Array;
  /** By actor; and by tier, how many are not done. */
  readonly #tier: Uint8Array;
  readonly #left = new Int32Array(TIERS);
  /** Rules broken so far, where the schedule goes on past them. */
  readonly #broken: Violation[] = [];
  /** Tiers up to this one have been told to finish: their IDLE_WORD waits are over. */
  #finishing = 0;
  /** Actors not done; those of them that wait for a word. */
  #live = 0;
  #waiting = 0;

  /** @param stepsMax a schedule that reaches this many steps ends there, as `step-limit` */
  constructor(program: Program, stepsMax: number) {
    const actors = program.actors.length;
    if (actors < 1 || actors > 200) throw new RangeError(`${program.name}: 1 to 200 actors can run, not ${actors}`);
    this.program = program;
    this.undeclared = new UndeclaredLog(program);
    this.stepsMax = stepsMax;
    this.choices = new Uint8Array(stepsMax);
    this.view.actors = actors;
    this.#waitWord = new Int32Array(actors);
    this.#waitValue = new Int32Array(actors);
    this.#waitMask = new Int32Array(actors);
    this.#stacks = program.deep ? program.actors.map(() => new CoroutineStack()) : [];
    this.#tier = Uint8Array.from(program.actors, (_, actor) => program.tierOf(actor));
  }

  /**
   * Runs one schedule from the program's start to its end.
   * @param strategy has begun this schedule; it is told of the end
   * @returns END_*
   */
  run(strategy: Strategy, variation: number): number {
    const { program, view } = this;
    this.steps = 0;
    this.breaches = this.livelock = [];
    this.error = undefined;
    this.errorActor = -1;
    // (V8 sets a length in its runtime)
    if (this.#broken.length > 0) this.#broken.length = this.breachSteps.length = 0;
    view.step = 0;
    view.last = -1;
    program.reset(variation);
    this.undeclared.begin();
    let end = this.#startAll();
    if (end < 0) end = this.#schedule(strategy, this.choices, 0);
    if (end === END_STEP_LIMIT && this.fair) end = this.#goOnFairly();
    this.undeclared.end();
    this.ended = this.livelock.length > 0 ? END_LIVELOCK : end;
    if (this.#broken.length > 0) this.breaches = this.#broken.slice();
    else if (end === END_FINISHED || end === END_DRAINED) this.breaches = program.audit();
    else if (end === END_VIOLATION && this.livelock.length === 0) this.breaches = program.alarm.violations.slice();
    if (this.breaches.length > 0) end = END_VIOLATION;
    this.end = end;
    this.undeclared.tell(this, variation);
    strategy.end(this.steps, this.goesOn ? this.ended : end, this.breachSteps);
    return end;
  }

  /** How the schedule ended, in words: `finished`, `violation I-RO`, `deadlock`, ... */
  get endText(): string {
    return endText(this.end, this.breaches);
  }

  /** What the schedule came to. */
  get outcome(): Outcome {
    const { program } = this;
    return outcomeOf(this, () => program.finalState(program.observe()));
  }

  /** That in words. */
  get outcomeText(): string {
    return outcomeText(this.outcome);
  }

  /** Whether `actor` has returned. */
  isDone(actor: number): boolean {
    return this.#waitWord[actor] === DONE;
  }

  /** The suspended calls of `actor`, the outermost first; none when it is done. */
  calls(actor: number): Coroutine<unknown>[] {
    if (this.isDone(actor)) return [];
    const coroutine = this.#coroutines[actor];
    return this.#stacks[actor]?.callees() ?? (coroutine === undefined ? [] : [coroutine]);
  }

  /** Who stands waiting at the schedule's end, and for what. */
  waiting(): Waiting[] {
    return this.program.actors.flatMap((_, actor) => {
      const word = this.#waitWord[actor] as number;
      if (word < 0) return [];
      const kind = (this.view.pending[actor] as number) & 15;
      return [{ actor, kind, word, value: this.#waitValue[actor] as number }];
    });
  }

  /** Every actor up to its first point. Returns the end when that is already one, else -1. */
  #startAll(): number {
    const { program, observer } = this;
    const { clocks, order } = program;
    const actors = program.actors.length;
    const left = this.#left;
    this.#finishing = 0;
    this.#live = actors;
    this.#waiting = 0;
    for (let tier = 0; tier < TIERS; tier++) left[tier] = 0;
    for (let actor = 0; actor < actors; actor++) {
      this.#waitWord[actor] = RUNNABLE;
      const tier = this.#tier[actor] as number;
      left[tier] = (left[tier] as number) + 1;
    }
    for (let actor = 0; actor < actors; actor++) {
      const coroutine = program.start(actor);
      this.#coroutines[actor] = coroutine;
      if (program.deep) (this.#stacks[actor] as CoroutineStack).start(coroutine);
      if (clocks !== null) (clocks[actor] as { time: number }).time = 0;
      if (observer !== null) observer.beforeStep(actor, LOCAL, 0);
      if (order !== undefined) order.step(actor, LOCAL);
      let step: IteratorResult<number, unknown>;
      try {
        step = program.deep ? (this.#stacks[actor] as CoroutineStack).step() : resume.call(coroutine);
      } catch (error) {
        return this.#threw(actor, error);
      }
      if (step.done === true) this.#leave(actor);
      else this.#stand(actor, step.value);
      if (observer !== null) observer.afterStep(actor, step.done === true ? -1 : step.value, 0);
      if (program.alarm.violations.length > 0 && this.#endsThere(0)) return END_VIOLATION;
    }
    this.#finishTiers();
    return -1;
  }

  /** The loop, from step `first` on, until `choices` is full. */
  #schedule(strategy: Strategy, choices: Uint8Array, first: number): number {
    const { program, view, observer } = this;
    const stepsMax = choices.length;
    const { clocks, alarm, order } = program;
    const { pending } = view;
    const { deep } = program;
    const stacks = this.#stacks;
    const coroutines = this.#coroutines;
    const waitWord = this.#waitWord;
    let step = first;
    /** Whose code runs; -1: the engine's, the strategy's or the observer's, whose errors are their own. */
    let running = -1;
    this.#findEnabled();
    try {
      for (;;) {
        if (view.enabledCount === 0) return this.#live === 0 ? END_FINISHED : END_DEADLOCK;
        if (step === stepsMax) return END_STEP_LIMIT;
        const actor = strategy.pick(view);
        if (actor < 0) return actor === PRUNE ? END_PRUNED : END_MISMATCH;
        choices[step] = actor;
        step++;
        this.steps = step;
        view.step = step;
        view.last = actor;
        if (clocks !== null) (clocks[actor] as { time: number }).time = step;
        if (observer !== null) observer.beforeStep(actor, pending[actor] as number, step);
        if (order !== undefined) order.step(actor, pending[actor] as number);
        const waited = waitWord[actor] as number;
        running = actor;
        const result = deep
          ? (stacks[actor] as CoroutineStack).step()
          : resume.call(coroutines[actor] as Coroutine<void>);
        running = -1;
        let moved = true;
        if (result.done === true) {
          if (waited >= 0) this.#waiting--;
          this.#leave(actor);
        } else {
          const effect = result.value;
          if (waited < 0 && (effect & 15) < FIRST_WAIT) {
            // the common case: nothing about who can run has changed, unless somebody waits
            pending[actor] = effect;
            moved = false;
          } else {
            if (waited >= 0) this.#waiting--;
            this.#stand(actor, effect);
          }
        }
        if (observer !== null) observer.afterStep(actor, result.done === true ? -1 : result.value, step);
        if (alarm.violations.length !== 0 && this.#endsThere(step)) return END_VIOLATION;
        if (moved || this.#waiting !== 0) this.#findEnabled();
      }
    } catch (error) {
      if (running < 0) throw error;
      return this.#threw(running, error);
    }
  }

  /**
   * The fair phase: daemons are told to stop, then everybody runs in turn. Not recorded and not observed: a replay that reaches
   * the limit runs the same.
   */
  #goOnFairly(): number {
    const { observer, steps, stepsMax, program, view } = this;
    const fair = new RoundRobin();
    fair.begin(0, program.actors.length);
    this.observer = null;
    if (this.#finishing === 0) program.finish(++this.#finishing);
    let end = END_STEP_LIMIT;
    for (const limit of FAIR_LIMITS) {
      end = this.#fairly(fair, stepsMax + limit);
      if (end !== END_STEP_LIMIT) break;
      const loops = fair.loops((actor) => view.enabled.subarray(0, view.enabledCount).includes(actor));
      if (loops !== null) end = this.#goRound(fair, loops);
      if (end !== END_STEP_LIMIT) break;
    }
    this.observer = observer;
    this.steps = steps;
    return end === END_FINISHED ? END_DRAINED : end;
  }

  /** On to step `to`. */
  #fairly(fair: RoundRobin, to: number): number {
    if (this.#fairChoices.length < to) this.#fairChoices = new Uint8Array(to);
    return this.#schedule(fair, this.#fairChoices.subarray(0, to), this.view.step);
  }

  /** One more turn of all loops, which shows what it changes: END_VIOLATION, unless it ends otherwise. */
  #goRound(fair: RoundRobin, loops: readonly ActorLoop[]): number {
    const { program, view } = this;
    const before = program.words.slice();
    const turn = fair.turn(loops, view.last);
    let end = END_STEP_LIMIT;
    for (let i = 0; i < FAIR_LIMITS[0] && end === END_STEP_LIMIT; i++) {
      end = this.#fairly(fair, view.step + 1);
      if (turn(view.last)) break;
    }
    if (end !== END_STEP_LIMIT) return end;
    this.livelock = tellLoops(program, loops, before, this.waiting());
    this.breaches = [livelockBreach(program, loops)];
    return END_VIOLATION;
  }

  /** `actor` has yielded `effect`. */
  #stand(actor: number, effect: number): void {
    this.view.pending[actor] = effect;
    const kind = effect & 15;
    const waits = kind === WAIT_LOCK || kind === WAIT_WORD || kind === IDLE_WORD;
    this.#waitWord[actor] = waits ? effect >>> 4 : RUNNABLE;
    if (!waits) return;
    this.#waitValue[actor] = this.program.waitValue(actor);
    this.#waitMask[actor] = kind === WAIT_LOCK ? 0x7fffffff : -1;
    this.#waiting++;
  }

  /** `actor` has returned. */
  #leave(actor: number): void {
    const tier = this.#tier[actor] as number;
    this.#waitWord[actor] = DONE;
    this.view.pending[actor] = -1;
    this.#live--;
    this.#left[tier] = (this.#left[tier] as number) - 1;
    if (this.#left[tier] === 0) this.#finishTiers();
  }

  /** Tells the next tier to finish, when all below it are done. */
  #finishTiers(): void {
    const left = this.#left;
    // of the tiers below too: at a step limit daemons are told while clients still run
    while (this.#live > 0 && left[this.#finishing] === 0 && (this.#finishing !== 1 || left[0] === 0)) {
      this.program.finish(++this.#finishing);
    }
  }

  /** Lists who can run: all but the done and those whose word still holds the value they saw. */
  #findEnabled(): void {
    const { view } = this;
    const { words } = this.program;
    const { enabled } = view;
    const waitWord = this.#waitWord;
    const waitValue = this.#waitValue;
    const waitMask = this.#waitMask;
    let count = 0;
    for (let actor = 0, actors = view.actors; actor < actors; actor++) {
      const word = waitWord[actor] as number;
      const can =
        word < 0
          ? word === RUNNABLE
          : ((words[word] as number) & (waitMask[actor] as number)) !== (waitValue[actor] as number) ||
            (this.#finishing > 0 && this.#mayFinish(actor));
      if (can) enabled[count++] = actor;
    }
    view.enabledCount = count;
  }

  /** Whether an idle `actor` has been told to finish; those of tier 0 never are. */
  #mayFinish(actor: number): boolean {
    const tier = this.#tier[actor] as number;
    return tier > 0 && tier <= this.#finishing && ((this.view.pending[actor] as number) & 15) === IDLE_WORD;
  }

  /** Rules are broken: notes those that step `step` has, and says whether the schedule ends with it. */
  #endsThere(step: number): boolean {
    if (!this.goesOn) return true;
    const { violations } = this.program.alarm;
    if (violations.length === this.#broken.length) return false;
    for (const breach of violations) {
      if (this.#broken.includes(breach)) continue;
      this.#broken.push(breach);
      this.breachSteps.push(step);
    }
    return false;
  }

  #threw(actor: number, error: unknown): number {
    stopRunning();
    this.error = error;
    this.errorActor = actor;
    return END_EXCEPTION;
  }
}
