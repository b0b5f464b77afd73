/**
 * `pinfall explore`: schedule after schedule, until a rule breaks or the number asked for is done. A find is minimised, run
 * again for its diagram and events, and given as a schedule that `replay` takes.
 *
 * Apart from `elapsed_s`, `workers` and a campaign's end by time a report is a function of the options: same seed, same report, on
 * every version of Node and any number of workers.
 */
import { Conductor, type Executor } from '../../engine/campaign/conductor.js';
import type { Find, OutcomeCount, UndeclaredAt } from '../../engine/campaign/range.js';
import { type CampaignSpec, FINDS_MAX, RangeRunner } from '../../engine/campaign/runner.js';
import { shrinkLivelock } from '../../engine/campaign/shrink.js';
import { curve, newPerThousand } from '../../engine/campaign/tally.js';
import { minimise } from '../../engine/one-thread/minimise.js';
import { END_DRAINED, type OneThread } from '../../engine/one-thread/one-thread.js';
import { outcomeFields } from '../../engine/one-thread/outcome.js';
import { type Schedule, formatSchedule } from '../../engine/one-thread/schedule-file.js';
import { STRATEGIES, strategyKind } from '../../engine/strategies/index.js';
import { askedRow, schedulesNotAsked } from '../report/asked.js';
import { clashIfAny, clashMarks } from '../clash/clash.js';
import { classify } from './classify.js';
import { HereExecutor, PoolExecutor } from './pool.js';
import type { Exploration, ExploreOptions, ExploreProgress, ExploreReport } from './report.js';
import { InputError } from '../../errors/errors.js';
import { EXHAUSTIVE, endRow, prove } from './prove.js';
import { knownWindows } from '../tell/known-windows.js';
import { REPORT_SCHEMA } from '../report/run-row.js';
import { type ReportViolation, violationRow } from '../report/violation.js';
import { type NotProved, undeclaredRows } from '../tell/undeclared.js';
import { tell } from '../tell/witness.js';

export type * from './report.js';

/** `lookOn`: one design may break two rules, and the second find tells more than the first alone. */
export const EXPLORE_DEFAULTS = {
  strategy: 'portfolio',
  depth: 3,
  stepsMax: 20_000,
  schedules: 10_000,
  lookOn: 300,
} as const;
const STEPS_LIMIT = 10_000_000;
export const WORKERS_MAX = 256;
/** The time that is estimated to be left is no better than this. */
const SECONDS_MAX = 1e9;

/** What the options come to. */
function specOf(options: ExploreOptions): CampaignSpec {
  const { subject, keepGoing = false, until = null } = options;
  const { lookOn = EXPLORE_DEFAULTS.lookOn, strategy = EXPLORE_DEFAULTS.strategy } = options;
  const depth = checked('--depth', options.depth ?? EXPLORE_DEFAULTS.depth, 1, 100);
  const stepsMax = checked('--steps', options.stepsMax ?? EXPLORE_DEFAULTS.stepsMax, 1, STEPS_LIMIT);
  checked('--schedules', options.schedules, 1, Number.MAX_SAFE_INTEGER);
  if (strategyKind(strategy) === undefined) {
    const names = [...STRATEGIES.map(({ name }) => name), EXHAUSTIVE].join(', ');
    throw new InputError(`--strategy: no '${strategy}'; expected one of ${names}`);
  }
  return { strategy, seed: subject.seed, depth, stepsMax, varies: subject.varies, keepGoing, lookOn, until };
}

function checked(option: string, value: number, low: number, high: number): number {
  if (Number.isInteger(value) && value >= low && value <= high) return value;
  throw new InputError(`${option}: expected a whole number from ${low} to ${high}, got ${String(value)}`);
}

/** A campaign under way. */
class Campaign {
  readonly #options: ExploreOptions;
  readonly #spec: CampaignSpec;
  readonly #workers: number;
  /** Profiles the program as the workers do; tells what was found. */
  readonly #runner: RangeRunner;
  readonly #executor: Executor & { close(): Promise<void> };
  readonly #conductor: Conductor;
  readonly #started = performance.now();
  #events: string | null = null;

  constructor(options: ExploreOptions) {
    const { subject, seconds = Infinity, budget } = options;
    this.#options = options;
    this.#spec = specOf(options);
    this.#workers = checked('--workers', options.workers ?? 1, 1, WORKERS_MAX);
    const { description } = subject;
    if (this.#workers > 1 && description === null) {
      throw new InputError(`--workers: ${subject.scenario} is a program of this thread only; expected 1`);
    }
    this.#runner = new RangeRunner(subject.create(), this.#spec, classify);
    this.#executor =
      this.#workers > 1 && description !== null
        ? new PoolExecutor(this.#workers, description, this.#spec)
        : new HereExecutor(this.#runner);
    if (budget !== undefined) budget.workers = this.#workers;
    const { strategy } = this.#runner;
    this.#conductor = new Conductor({
      spec: this.#spec,
      executor: this.#executor,
      keeps: strategy.keeps === undefined ? null : (schedule) => strategy.keeps?.(schedule) === true,
      state: strategy.save?.(),
      schedules: options.schedules,
      stop: () =>
        options.stop?.() === true ? 'interrupted' : this.#elapsed() >= seconds ? 'duration' : (budget?.end ?? ''),
      onProgress: () => options.onProgress?.(this.#progress()),
    });
  }

  async run(): Promise<Exploration> {
    try {
      return this.#result(await this.#conductor.run());
    } finally {
      await this.#executor.close();
    }
  }

  #elapsed(): number {
    return (performance.now() - this.#started) / 1000;
  }

  #progress(): ExploreProgress {
    const { schedules, steps, violations, tally } = this.#conductor;
    const { schedules: schedulesMax, seconds = Infinity, budget } = this.#options;
    const elapsedSeconds = this.#elapsed();
    const rate = schedules / Math.max(elapsedSeconds, 1e-6);
    const leftSeconds = Math.min(
      (schedulesMax - schedules) / rate,
      seconds - elapsedSeconds,
      budget?.left ?? Infinity,
      SECONDS_MAX,
    );
    const { both, one } = tally.orders.summary();
    return {
      schedules,
      schedulesMax,
      steps,
      violations,
      elapsedSeconds,
      leftSchedules: Math.min(schedulesMax - schedules, Math.round(leftSeconds * rate)),
      leftSeconds: Math.max(0, leftSeconds),
      newPerThousand: newPerThousand(tally.newIn(), tally.schedules),
      pairsBoth: both,
      pairsOne: one,
    };
  }

  #result(end: string): Exploration {
    const { subject, budget } = this.#options;
    const { tally } = this.#conductor;
    const elapsed = this.#elapsed();
    const { strategy } = this.#spec;
    const violations = tally
      .sortedFinds()
      .slice(0, FINDS_MAX)
      .map((find) => this.#report(find));
    const outcomes = tally.sortedOutcomes();
    const { both, one } = tally.orders.summary();
    const newIn = tally.newIn();
    const undeclared = tally.sortedUndeclared();
    const broken = tally.violations + undeclared.length;
    const asked = askedRow(broken > 0 ? null : (subject.notAsked ?? schedulesNotAsked(outcomes)));
    const rows = outcomes.map(({ outcome, state, count, verdict, first, variation, choices }) => ({
      state,
      ...outcomeFields(outcome),
      count,
      verdict,
      first,
      schedule: this.#text(variation, choices, state),
    }));
    const notProved = this.#notProved(outcomes, undeclared);
    const report: ExploreReport = {
      schema: REPORT_SCHEMA,
      command: 'explore',
      scenario: subject.scenario,
      policy: subject.policy,
      seed: subject.seed,
      workers: this.#workers,
      strategy,
      depth: strategyKind(strategy)?.deep === true ? this.#spec.depth : null,
      schedules: tally.schedules,
      steps: tally.steps,
      elapsed_s: elapsed,
      exhaustive: notProved === null,
      outcomes: rows,
      violations: [
        ...violations,
        ...undeclaredRows(
          this.#runner.thread.program,
          undeclared,
          subject.seed,
          ({ variation, choices, by, end: ends }) => this.#text(variation, choices, ends, by),
        ),
      ],
      violation_count: broken,
      known_windows: knownWindows(subject, this.#spec.stepsMax, rows),
      rechecked: tally.rechecked,
      members: [...tally.members.values()].toSorted((x, y) => y.schedules - x.schedules || (x.name < y.name ? -1 : 1)),
      coverage: {
        pairs_both_orders: both,
        pairs_one_order: one,
        behaviours: newIn.length,
        curve: curve(newIn, tally.schedules),
        new_per_thousand: newPerThousand(newIn, tally.schedules),
      },
      guarantee: this.#guarantee(outcomes),
      not_proved: notProved,
      end: endRow(end, budget),
      ...asked,
      ok: asked.asked && broken === 0,
    };
    return { report, events: this.#events ?? this.#usualEvents(outcomes) };
  }

  /** Why it is no proof: only a strategy that tries every schedule there is can give one. */
  #notProved(outcomes: readonly OutcomeCount[], [first]: readonly UndeclaredAt[]): NotProved | null {
    const { exhausted, tally } = this.#conductor;
    if (first !== undefined) return { reason: 'undeclared', detail: first.breach.what };
    if (!exhausted || this.#options.subject.varies) {
      return { reason: 'strategy', detail: `${tally.schedules} schedules of ${this.#spec.strategy}` };
    }
    // a schedule that was cut off may have gone on in ways that nobody has tried
    const cut = outcomes.filter(({ verdict }) => verdict === 'cut').reduce((sum, { count }) => sum + count, 0);
    return cut === 0 ? null : { reason: 'cut', detail: `${cut} schedules were cut off before their end` };
  }

  /** What it means that nothing was found. */
  #guarantee(outcomes: readonly OutcomeCount[]): string {
    const { tally, state } = this.#conductor;
    if (tally.violations > 0) return '';
    const { strategy } = this.#runner;
    if (state !== undefined) strategy.restore?.(state);
    const cut = outcomes.reduce((sum, { verdict, count }) => sum + (verdict === 'cut' ? count : 0), 0);
    const drained = outcomes.find(({ outcome }) => outcome.end === END_DRAINED)?.count ?? 0;
    // of schedules that were all cut off no strategy can say what they missed
    const parts = [cut === tally.schedules ? '' : strategy.guarantee(tally.schedules)];
    if (cut > 0) {
      const late = drained === 0 ? '' : drained === cut ? '; a fair one then finished' : `; ${drained} finished fairly`;
      parts.push(`${cut} of ${tally.schedules} schedules were cut off after ${this.#spec.stepsMax} steps${late}`);
    }
    return parts.filter((part) => part !== '').join('; ');
  }

  /** A find for the report: made small, and told. */
  #report(find: Find): ReportViolation {
    const { variation, difference, end, number } = find;
    const { program } = this.#runner.thread;
    const { thread, choices } = this.#smaller(find);
    const clash = this.#options.minimise === false ? null : clashIfAny(thread, variation, choices);
    const witness = tell(thread, variation, choices, { marks: clashMarks(clash, program.actors) });
    this.#events ??= witness.events;
    const breach = witness.breach ?? { invariant: end, what: end };
    const broken =
      difference === null
        ? breach
        : {
            ...breach,
            invariant: 'determinism',
            what: `a schedule run again went another way at step ${difference.step}: ${difference.what}`,
          };
    return violationRow(broken, program, {
      seed: this.#options.subject.seed,
      found_in_schedule: number,
      found_by: find.by,
      steps: witness.steps,
      details: witness.details,
      schedule: this.#text(variation, choices, end, find.by, thread.stepsMax, breach.invariant),
      clash,
      diagram: witness.diagram,
    });
  }

  /** The find's schedule made small, and a thread that runs it. */
  #smaller({ variation, choices, end, invariant, difference }: Find): { thread: OneThread; choices: Uint8Array } {
    const { thread } = this.#runner;
    if (difference !== null || this.#options.minimise === false) return { thread, choices };
    if (invariant === 'I-LIVE' && choices.length === this.#spec.stepsMax) {
      return shrinkLivelock(thread.program, variation, choices, end);
    }
    return { thread, choices: minimise(thread, variation, choices, end) };
  }

  #text(
    variation: number,
    choices: Uint8Array,
    end: string,
    by: string = this.#spec.strategy,
    stepsMax = this.#spec.stepsMax,
    breaks?: string,
  ): string {
    const { subject } = this.#options;
    const schedule: Schedule = {
      scenario: subject.scenario,
      policy: subject.policy,
      seed: subject.seed,
      variation,
      strategy: by,
      hash: subject.hash,
      stepsMax,
      end,
      breaks,
      actors: this.#runner.thread.program.actors,
      choices,
      litmus: subject.litmus,
    };
    return formatSchedule(schedule);
  }

  /** When there is no violation to show: what usually happens. */
  #usualEvents([usual]: readonly OutcomeCount[]): string {
    return usual === undefined ? '' : tell(this.#runner.thread, usual.variation, usual.choices).events;
  }
}

/** Every execution that differs from the others, or until the first find. */
async function exhaust(options: ExploreOptions): Promise<Exploration> {
  const { subject, keepGoing, stop, workers, onProgress, seconds, budget } = options;
  const stepsMax = checked('--steps', options.stepsMax ?? EXPLORE_DEFAULTS.stepsMax, 1, STEPS_LIMIT);
  const schedules = checked('--schedules', options.schedules, 1, Number.MAX_SAFE_INTEGER);
  return await prove({
    subject,
    seconds,
    budget,
    stepsMax,
    schedules,
    stopAtFind: keepGoing !== true,
    stop,
    workers,
    onProgress,
  });
}

/** Explores. Gives way to the event loop some times a second, so that signals and timers are seen. */
export async function explore(options: ExploreOptions): Promise<Exploration> {
  if (options.strategy === EXHAUSTIVE) return await exhaust(options);
  return new Campaign(options).run();
}
