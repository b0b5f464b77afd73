/**
 * `pinfall explore`: schedule after schedule on one thread, until a rule breaks or the number asked for is done. A find is
 * minimised, run again for its diagram and events, and given as a schedule that `replay` takes.
 *
 * Apart from `elapsed_s` a report is a function of the options: same seed, same report, on every version of Node.
 */
import { END_DEADLOCK, END_EXCEPTION, END_FINISHED, END_VIOLATION, OneThread } from '../engine/one-thread.js';
import { minimise } from '../engine/minimise.js';
import { recheck } from '../engine/recheck.js';
import { type Schedule, formatSchedule } from '../engine/schedule-file.js';
import { STRATEGIES, strategyKind } from '../engine/strategies/index.js';
import type { Strategy } from '../engine/strategies/strategy.js';
import { InputError } from './input-error.js';
import { type EndRow, REPORT_SCHEMA, type ReportViolation } from './report.js';
import type { Subject } from './subject.js';
import { type Witness, breachOf, tell, violationRow } from './witness.js';

export interface ExploreOptions {
  readonly subject: Subject;
  /** A name of STRATEGIES. */
  readonly strategy: string;
  /** Depth of the bugs that `pct` looks for: 1 and up. */
  readonly depth?: number;
  readonly schedules: number;
  /** A schedule of so many steps ends there. */
  readonly stepsMax?: number;
  /** Do not stop at the first violation; the first of each kind are reported, all are counted. */
  readonly keepGoing?: boolean;
  /** Schedules tried after the first find, for rules of another kind (the first find of each is reported). */
  readonly lookOn?: number;
  /** Stop only at a violation of this invariant; others are counted and reported as with `keepGoing`. */
  readonly until?: string | undefined;
  /** Fewer context switches in what is reported (default true). */
  readonly minimise?: boolean;
  /** Asked between schedules, some times a second: a reason to stop, such as Ctrl-C. */
  readonly stop?: () => boolean;
  readonly onProgress?: (progress: ExploreProgress) => void;
}

export interface ExploreProgress {
  readonly schedules: number;
  readonly schedulesMax: number;
  readonly steps: number;
  readonly violations: number;
  readonly elapsedSeconds: number;
}

/** A final state, how many schedules ended in it, and the first one that did. */
export interface OutcomeRow {
  readonly state: string;
  readonly count: number;
  readonly schedule: string;
}

export interface ExploreReport {
  readonly schema: typeof REPORT_SCHEMA;
  readonly command: 'explore';
  readonly scenario: string;
  readonly policy: string;
  readonly seed: number;
  readonly workers: 1;
  readonly strategy: string;
  readonly depth: number | null;
  readonly schedules: number;
  readonly steps: number;
  readonly elapsed_s: number;
  /** Every schedule there is has been tried. */
  readonly exhaustive: boolean;
  readonly outcomes: readonly OutcomeRow[];
  readonly violations: readonly ReportViolation[];
  readonly violation_count: number;
  /** Schedules that were run again to see that nothing but their choices decides. */
  readonly rechecked: number;
  /** What not finding anything says; empty when nothing can be said. */
  readonly guarantee: string;
  /** Why it stopped: `done`, `violation`, `exhausted` or `interrupted`. */
  readonly end: EndRow;
  readonly ok: boolean;
}

/** What `explore` returns beside the report. */
export interface Exploration {
  readonly report: ExploreReport;
  /** NDJSON of the first violation's schedule; without one, of the first outcome's. */
  readonly events: string;
}

/** `lookOn`: one design may break two rules, and the second find tells more than the first alone. */
export const EXPLORE_DEFAULTS = { depth: 3, stepsMax: 20_000, schedules: 10_000, lookOn: 300 } as const;
const STEPS_LIMIT = 10_000_000;
const SLICE_MS = 50;
/** Violations of different kinds that a report holds at most. */
const REPORTED_MAX = 8;
/** Beside the first ones, every so many schedules are run again. */
const RECHECK_EVERY = 512;

/** An outcome as it is counted, with the first schedule that had it. */
interface Outcome {
  readonly state: string;
  count: number;
  readonly variation: number;
  readonly choices: Uint8Array;
}

/** A campaign under way. */
class Campaign {
  readonly #options: ExploreOptions;
  readonly #thread: OneThread;
  readonly #strategy: Strategy;
  readonly #depth: number;
  /** By observation, or by how the schedule ended otherwise. */
  readonly #outcomes = new Map<number | string, Outcome>();
  readonly #violations = new Map<string, ReportViolation>();
  readonly #stepsMax: number;
  #violationCount = 0;
  /** Where to stop after a find. */
  #enoughAt: number | undefined;
  #rechecked = 0;
  #steps = 0;
  #schedules = 0;
  #events: string | null = null;

  constructor(options: ExploreOptions) {
    const { subject, strategy } = options;
    this.#options = options;
    this.#depth = checked('--depth', options.depth ?? EXPLORE_DEFAULTS.depth, 1, 100);
    this.#stepsMax = checked('--steps', options.stepsMax ?? EXPLORE_DEFAULTS.stepsMax, 1, STEPS_LIMIT);
    checked('--schedules', options.schedules, 1, Number.MAX_SAFE_INTEGER);
    const kind = strategyKind(strategy);
    if (kind === undefined) {
      const names = STRATEGIES.map(({ name }) => name).join(', ');
      throw new InputError(`--strategy: no '${strategy}'; expected one of ${names}`);
    }
    this.#strategy = kind.create({ seed: subject.seed, depth: this.#depth });
    this.#thread = new OneThread(subject.create(), this.#stepsMax);
  }

  /** Runs schedules for a while. Returns why the campaign is over, or '' when it is not. */
  slice(until: number): string {
    const { schedules, keepGoing, subject } = this.#options;
    const thread = this.#thread;
    const strategy = this.#strategy;
    const actors = thread.program.actors.length;
    while (this.#schedules < schedules) {
      const number = this.#schedules;
      if (!strategy.begin(number, actors)) return 'exhausted';
      const variation = subject.varies ? number : 0;
      const end = thread.run(strategy, variation);
      this.#schedules++;
      this.#steps += thread.steps;
      this.#count(end, variation);
      const broken = end === END_VIOLATION || end === END_DEADLOCK || end === END_EXCEPTION;
      if (broken) this.#found(number, variation);
      else if ((number & (number + 1)) === 0 || number % RECHECK_EVERY === 0) this.#recheck(number, variation);
      if (this.#violationCount > 0 && keepGoing !== true && this.#isEnough()) return 'violation';
      if (((number & 63) === 63 || thread.steps > 1000) && performance.now() > until) return '';
    }
    return strategy.exhausted ? 'exhausted' : 'done';
  }

  progress(elapsedSeconds: number): ExploreProgress {
    return {
      schedules: this.#schedules,
      schedulesMax: this.#options.schedules,
      steps: this.#steps,
      violations: this.#violationCount,
      elapsedSeconds,
    };
  }

  result(end: string, elapsedSeconds: number): Exploration {
    const { subject } = this.#options;
    const events = this.#events ?? this.#usualEvents();
    const violations = [...this.#violations.values()];
    const strategy = this.#strategy;
    const report: ExploreReport = {
      schema: REPORT_SCHEMA,
      command: 'explore',
      scenario: subject.scenario,
      policy: subject.policy,
      seed: subject.seed,
      workers: 1,
      strategy: strategy.name,
      depth: strategy.name === 'pct' ? this.#depth : null,
      schedules: this.#schedules,
      steps: this.#steps,
      elapsed_s: elapsedSeconds,
      exhaustive: strategy.exhausted,
      outcomes: this.#sortedOutcomes().map(({ state, count, variation, choices }) => ({
        state,
        count,
        schedule: this.#text(variation, choices, state),
      })),
      violations,
      violation_count: this.#violationCount,
      rechecked: this.#rechecked,
      guarantee: this.#guarantee(),
      end: { kind: end },
      ok: this.#violationCount === 0,
    };
    return { report, events };
  }

  #count(end: number, variation: number): void {
    const thread = this.#thread;
    // a number for the usual case: no text is made for each schedule
    const key = end === END_FINISHED ? thread.program.observe() : thread.endText;
    const row = this.#outcomes.get(key);
    if (row !== undefined) {
      row.count++;
      return;
    }
    this.#outcomes.set(key, {
      state: thread.outcome,
      count: 1,
      variation,
      choices: thread.choices.slice(0, thread.steps),
    });
  }

  /** What it means that nothing was found. */
  #guarantee(): string {
    if (this.#violationCount > 0) return '';
    const cut = this.#outcomes.get('step-limit')?.count ?? 0;
    const parts = [this.#strategy.guarantee(this.#schedules)];
    if (cut > 0) {
      parts.push(
        `${cut} of ${this.#schedules} schedules were cut off after ${this.#stepsMax} steps, before their final audit`,
      );
    }
    return parts.filter((part) => part !== '').join('; ');
  }

  /** The most common first. */
  #sortedOutcomes(): Outcome[] {
    return [...this.#outcomes.values()].toSorted((x, y) => y.count - x.count || (x.state < y.state ? -1 : 1));
  }

  /** Whether what was found so far is what is looked for. */
  #isEnough(): boolean {
    const { until } = this.#options;
    if (until !== undefined) return [...this.#violations.values()].some(({ invariant }) => invariant === until);
    this.#enoughAt ??= this.#schedules + (this.#options.lookOn ?? EXPLORE_DEFAULTS.lookOn);
    return this.#schedules >= this.#enoughAt;
  }

  /** The schedule that ran last breaks a rule. */
  #found(number: number, variation: number): void {
    this.#violationCount++;
    const thread = this.#thread;
    const end = thread.endText;
    const breach = breachOf(thread);
    const kind = breach === null ? end : `${breach.invariant} ${thread.end === END_DEADLOCK ? '' : breach.what}`;
    if (this.#violations.has(kind) || this.#violations.size >= REPORTED_MAX) return;
    const found = thread.choices.slice(0, thread.steps);
    const choices = this.#options.minimise === false ? found : minimise(thread, variation, found, end);
    this.#violations.set(kind, this.#report(number, variation, choices, end, tell(thread, variation, choices)));
  }

  #report(number: number, variation: number, choices: Uint8Array, end: string, witness: Witness): ReportViolation {
    this.#events ??= witness.events;
    const breach = witness.breach ?? { invariant: end, what: end };
    return {
      invariant: breach.invariant,
      what: breach.what,
      ...violationRow(this.#thread.program, breach),
      seed: this.#options.subject.seed,
      found_in_schedule: number,
      steps: witness.steps,
      details: witness.details,
      schedule: this.#text(variation, choices, end),
      diagram: witness.diagram,
    };
  }

  /** Runs the schedule that ran last again: nothing but its choices may decide. */
  #recheck(number: number, variation: number): void {
    const thread = this.#thread;
    const choices = thread.choices.slice(0, thread.steps);
    const end = thread.endText;
    const difference = recheck(thread, variation);
    this.#rechecked++;
    if (difference === null) return;
    this.#violationCount++;
    const what = `a schedule run again went another way at step ${difference.step}: ${difference.what}`;
    const row = this.#report(number, variation, choices, end, tell(thread, variation, choices));
    this.#violations.set('determinism', { ...row, invariant: 'determinism', what });
  }

  #text(variation: number, choices: Uint8Array, end: string): string {
    const { subject } = this.#options;
    const schedule: Schedule = {
      scenario: subject.scenario,
      policy: subject.policy,
      seed: subject.seed,
      variation,
      strategy: this.#strategy.name,
      hash: subject.hash,
      stepsMax: this.#stepsMax,
      end,
      actors: this.#thread.program.actors,
      choices,
    };
    return formatSchedule(schedule);
  }

  /** When there is no violation to show: what usually happens. */
  #usualEvents(): string {
    const [usual] = this.#sortedOutcomes();
    return usual === undefined ? '' : tell(this.#thread, usual.variation, usual.choices).events;
  }
}

function checked(option: string, value: number, low: number, high: number): number {
  if (Number.isInteger(value) && value >= low && value <= high) return value;
  throw new InputError(`${option}: expected a whole number from ${low} to ${high}, got ${String(value)}`);
}

/** Explores. Gives way to the event loop some times a second, so that signals and timers are seen. */
export async function explore(options: ExploreOptions): Promise<Exploration> {
  const campaign = new Campaign(options);
  const started = performance.now();
  const elapsed = (): number => (performance.now() - started) / 1000;
  let end = '';
  while (end === '') {
    end = campaign.slice(performance.now() + SLICE_MS);
    if (end !== '') break;
    options.onProgress?.(campaign.progress(elapsed()));
    await new Promise((resolve) => void setImmediate(resolve));
    if (options.stop?.() === true) end = 'interrupted';
  }
  return campaign.result(end, elapsed());
}
