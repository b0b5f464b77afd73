/** Runs ranges of a campaign's schedules on this thread. */
import {
  END_DEADLOCK,
  END_DRAINED,
  END_EXCEPTION,
  END_FINISHED,
  END_STEP_LIMIT,
  END_VIOLATION,
  OneThread,
} from '../one-thread/one-thread.js';
import type { Program } from '../one-thread/program.js';
import { EffectTrace, recheck } from '../one-thread/determinism-check.js';
import { strategyKind } from '../strategies/index.js';
import { ProfilingWalk } from '../strategies/profile.js';
import type { Profile, Strategy } from '../strategies/strategy.js';
import { OrderObserver, isSampled } from './orders.js';
import { outcomeText } from '../one-thread/outcome.js';
import {
  type Find,
  LANE_KEPT,
  type MemberCount,
  type OutcomeCount,
  type RangeResult,
  type RangeTask,
  type UndeclaredAt,
  type Verdict,
} from './range.js';

/** What all threads of a campaign must agree on; plain data. */
export interface CampaignSpec {
  /** A name of STRATEGIES. */
  readonly strategy: string;
  readonly seed: number;
  readonly depth: number;
  readonly stepsMax: number;
  /** Whether the program has workloads to vary: schedule n runs the n-th. */
  readonly varies: boolean;
  /** Do not stop after a find. */
  readonly keepGoing: boolean;
  /** Schedules run after the first find. */
  readonly lookOn: number;
  /** Stop at a find of this invariant, and at no other. */
  readonly until: string | null;
}

/** How a find is told apart from others: the broken rule, and a text that is the same for the same kind of find. */
type Classify = (thread: OneThread) => { readonly invariant: string; readonly kind: string };

/** Random walks that tell of the program before the first schedule. */
const PROFILE_SCHEDULES = 8;
/** Beside the first ones, every so many schedules are run again. */
const RECHECK_EVERY = 512;
/** Violations of different kinds that a range tells of at most. */
export const FINDS_MAX = 8;

const isRechecked = (number: number): boolean => (number & (number + 1)) === 0 || number % RECHECK_EVERY === 0;

/** Whether an end is a broken rule. */
export const isBroken = (end: number): boolean =>
  end === END_VIOLATION || end === END_DEADLOCK || end === END_EXCEPTION;

function verdictOf(end: number): Verdict {
  if (isBroken(end)) return 'forbidden';
  return end === END_STEP_LIMIT || end === END_DRAINED ? 'cut' : 'allowed';
}

/** What first runs of the program show; they count for nothing else. */
export function profileOf(thread: OneThread, seed: number, varies: boolean): Profile {
  const walk = new ProfilingWalk(seed);
  const { fair } = thread;
  thread.fair = false;
  for (let schedule = 0; schedule < PROFILE_SCHEDULES; schedule++) {
    walk.begin(schedule, thread.program.actors.length);
    thread.run(walk, varies ? schedule : 0);
  }
  thread.fair = fair;
  return walk.profile();
}

/** The counts of the range under way. */
class RangeCount {
  schedules = 0;
  steps = 0;
  rechecked = 0;
  violations = 0;
  firstViolation = -1;
  readonly outcomes = new Map<number | string, OutcomeCount>();
  readonly finds = new Map<string, Find>();
  readonly members = new Map<string, MemberCount>();
  readonly undeclared: UndeclaredAt[] = [];
}

export class RangeRunner {
  readonly thread: OneThread;
  readonly strategy: Strategy;
  readonly #spec: CampaignSpec;
  readonly #classify: Classify;
  readonly #orders = new OrderObserver();
  #count = new RangeCount();

  /** @throws RangeError for a strategy that does not exist */
  constructor(program: Program, spec: CampaignSpec, classify: Classify) {
    const kind = strategyKind(spec.strategy);
    if (kind === undefined) throw new RangeError(`no strategy ${spec.strategy}`);
    this.thread = new OneThread(program, spec.stepsMax);
    this.#spec = spec;
    this.#classify = classify;
    const profile = kind.profiles === true ? profileOf(this.thread, spec.seed, spec.varies) : undefined;
    this.strategy = kind.create({ seed: spec.seed, depth: spec.depth, profile });
  }

  /**
   * Runs the range, or the first part of it: until its time is over, it has seen enough, or there is nothing more to try.
   * @param stopped asked some times a second: end early
   */
  run(task: RangeTask, stopped: () => boolean): RangeResult {
    const { thread, strategy } = this;
    const { varies } = this.#spec;
    const started = performance.now();
    const deadline = started + task.ms;
    const kept = task.lane === LANE_KEPT;
    if (kept && task.state !== undefined) strategy.restore?.(task.state);
    const count = new RangeCount();
    this.#count = count;
    this.#orders.table.clear();
    thread.undeclared.forget();
    const actors = thread.program.actors.length;
    let number = task.from;
    let over = strategy.over === true || (kept && strategy.exhausted);
    while (number < task.to && !over) {
      if ((strategy.keeps?.(number) ?? false) !== kept) {
        number++;
        continue;
      }
      if (!strategy.begin(number, actors)) {
        over = true;
        break;
      }
      const enough = this.#one(number, varies && !kept ? number : 0);
      number++;
      over = kept && (strategy.exhausted || strategy.over === true);
      if (enough) break;
      if (((count.schedules & 63) === 63 || thread.steps > 1000) && (performance.now() > deadline || stopped())) break;
    }
    return {
      task,
      to: number,
      schedules: count.schedules,
      steps: count.steps,
      rechecked: count.rechecked,
      violations: count.violations,
      firstViolation: count.firstViolation,
      // numbers are this program's: other threads may have seen the same states in another order
      outcomes: [...count.outcomes.values()].map((outcome) => Object.assign({}, outcome, { key: outcome.state })),
      finds: [...count.finds.values()],
      members: [...count.members.values()],
      undeclared: count.undeclared,
      orders: this.#orders.table.toArray(),
      state: kept ? strategy.save?.() : undefined,
      over,
      exhausted: over && strategy.exhausted,
      ms: performance.now() - started,
    };
  }

  /** Runs the schedule that the strategy has begun. Returns whether what was found is enough. */
  #one(number: number, variation: number): boolean {
    const { thread, strategy } = this;
    const count = this.#count;
    const again = isRechecked(number);
    const trace = again ? new EffectTrace() : null;
    if (trace !== null) thread.observer = trace;
    else if (isSampled(number)) {
      this.#orders.begin(number);
      thread.observer = this.#orders;
    }
    const end = thread.run(strategy, variation);
    thread.observer = null;
    for (const each of thread.undeclared.list.slice(count.undeclared.length)) {
      count.undeclared.push({ ...each, first: number, by: strategy.member ?? strategy.name });
    }
    count.schedules++;
    count.steps += thread.steps;
    this.#countOutcome(end, number, variation);
    const before = count.violations;
    if (isBroken(end)) this.#found(number, variation);
    if (trace !== null) this.#recheck(number, variation, trace);
    const member = strategy.member;
    if (member !== undefined) this.#countMember(member, count.violations - before);
    return count.violations > 0 && this.#isEnough(number);
  }

  #countOutcome(end: number, number: number, variation: number): void {
    const { thread } = this;
    // a number for the usual case: no text is made for each schedule
    const key = end === END_FINISHED ? thread.program.observe() : thread.outcomeText;
    const row = this.#count.outcomes.get(key);
    if (row !== undefined) {
      row.count++;
      return;
    }
    const choices = thread.choices.slice(0, thread.steps);
    const { outcome } = thread;
    this.#count.outcomes.set(key, {
      key,
      outcome,
      state: outcomeText(outcome),
      verdict: verdictOf(end),
      count: 1,
      first: number,
      variation,
      choices,
    });
  }

  #countMember(name: string, violations: number): void {
    const row = this.#count.members.get(name);
    if (row === undefined) {
      this.#count.members.set(name, { name, schedules: 1, violations });
      return;
    }
    row.schedules++;
    row.violations += violations;
  }

  /** The schedule that ran last breaks a rule. */
  #found(number: number, variation: number): void {
    this.#note({ number, variation, ...this.#classify(this.thread), difference: null });
  }

  /** Runs the schedule that ran last again: nothing but its choices may decide. */
  #recheck(number: number, variation: number, trace: EffectTrace): void {
    this.#count.rechecked++;
    const difference = recheck(this.thread, variation, trace);
    if (difference === null) return;
    this.#note({ number, variation, invariant: 'determinism', kind: 'determinism', difference });
  }

  #note(find: Omit<Find, 'by' | 'end' | 'choices'>): void {
    const count = this.#count;
    const { thread, strategy } = this;
    count.violations++;
    if (count.firstViolation < 0) count.firstViolation = find.number;
    if (count.finds.has(find.kind) || count.finds.size >= FINDS_MAX) return;
    const choices = thread.choices.slice(0, thread.steps);
    count.finds.set(find.kind, { ...find, by: strategy.member ?? strategy.name, end: thread.endText, choices });
  }

  #isEnough(number: number): boolean {
    const { keepGoing, until, lookOn } = this.#spec;
    if (keepGoing) return false;
    if (until !== null) return [...this.#count.finds.values()].some(({ invariant }) => invariant === until);
    return number >= this.#count.firstViolation + lookOn;
  }
}
