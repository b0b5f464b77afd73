/**
 * Deals ranges of schedule numbers to threads (or to this one), and puts together what they come to. Which thread runs which
 * range has no part in the result: schedules of the free lane are fixed by seed and number; a search's schedules (the kept
 * lane) are dealt one range after the other, each with what the one before it left.
 *
 * A campaign ends at a schedule number: the one asked for, or so many after the first find, or where a search has nothing more to
 * try. All schedules below it count, none above: a range that goes beyond is run again up to there.
 *
 * A search that splits itself (src/engine/exhaustive) has no lanes: it would stand beside this as another way to deal.
 */
import { LANE_FREE, LANE_KEPT, type RangeResult, type RangeTask } from './range.js';
import type { CampaignSpec } from './runner.js';
import { Tally } from './tally.js';

/** Runs ranges: on this thread, or on a pool's. */
export interface Executor {
  /** Ranges that can run at the same time, and some to go on with. */
  readonly width: number;
  run(task: RangeTask): Promise<RangeResult>;
  /** Ranges under way shall end early, until it is taken back. */
  stop(early: boolean): void;
}

interface ConductorOptions {
  readonly spec: CampaignSpec;
  readonly executor: Executor;
  /** Which of the strategy's schedule numbers are a search's. */
  readonly keeps: ((schedule: number) => boolean) | null;
  /** What a search starts from (Strategy.save of one that has done nothing). */
  readonly state?: unknown;
  readonly schedules: number;
  /** Whether to end early; asked some times a second. The text is the end's kind, '' = go on. */
  readonly stop: () => string;
  readonly onProgress: (conductor: Conductor) => void;
}

/** A range takes about so long, twice that at most: short enough to be stopped at, long enough that dealing it costs nothing. */
const RANGE_MS = 30;
const FIRST_RANGE = 32;
/** Numbers looked at for which lanes there are. */
const LOOKED_AT = 64;

/** The numbers of one lane, and how far they have been dealt. */
interface Lane {
  readonly lane: number;
  next: number;
  size: number;
  /** What a search left; one range at a time. */
  state: unknown;
  busy: boolean;
  /** Ranges, or their rests, that have been dealt and not come back. */
  readonly under: Set<RangeTask>;
  readonly rests: RangeTask[];
}

export class Conductor {
  readonly tally = new Tally();
  readonly #options: ConductorOptions;
  readonly #lanes: readonly Lane[];
  /** Where finds end the campaign, and where a search does: schedules below count. */
  #foundAt = Infinity;
  #overAt = Infinity;
  #exhausted = false;
  #error: unknown = undefined;
  /** Of a search: what it has left, for its guarantee. */
  state: unknown;
  /** Done, but not known yet to lie below the end. */
  #results: RangeResult[] = [];

  constructor(options: ConductorOptions) {
    this.#options = options;
    const { keeps } = options;
    const kinds = Array.from({ length: LOOKED_AT }, (_, i) => (keeps?.(i) === true ? LANE_KEPT : LANE_FREE));
    this.#lanes = [...new Set(kinds)].map((lane) => ({
      lane,
      next: 0,
      size: FIRST_RANGE,
      state: options.state,
      busy: false,
      under: new Set(),
      rests: [],
    }));
  }

  /** Schedules run, whether they will count or not. */
  get schedules(): number {
    return this.#results.reduce((sum, { schedules }) => sum + schedules, this.tally.schedules);
  }

  get steps(): number {
    return this.#results.reduce((sum, { steps }) => sum + steps, this.tally.steps);
  }

  get violations(): number {
    return this.#results.reduce((sum, { violations }) => sum + violations, this.tally.violations);
  }

  /** Every schedule there is has been tried. */
  get exhausted(): boolean {
    return this.#exhausted && this.#overAt === this.#limit;
  }

  /** The campaign's end. */
  get #limit(): number {
    return Math.min(this.#options.schedules, this.#foundAt, this.#overAt);
  }

  /**
   * Runs the campaign.
   * @returns why it ended: `done`, `violation`, `exhausted`, `over` (a search that had to leave something out), or what `stop` said
   * @throws whatever an executor's range has thrown
   */
  async run(): Promise<string> {
    const { executor, stop, onProgress } = this.#options;
    const under = new Set<Promise<void>>();
    let stopped = '';
    while (stopped === '') {
      for (let task = this.#deal(under.size); task !== null; task = this.#deal(under.size)) {
        const dealt = task;
        const promise = executor
          .run(dealt)
          .then((result) => this.#take(dealt, result))
          .catch((error: unknown) => (this.#error ??= error))
          .then(() => void under.delete(promise));
        under.add(promise);
      }
      if (this.#isDone()) break;
      await Promise.race(under);
      if (this.#error !== undefined) break;
      this.#settle();
      onProgress(this);
      stopped = stop();
    }
    executor.stop(true);
    await Promise.all(under);
    executor.stop(false);
    if (this.#error !== undefined) throw this.#error;
    if (stopped === '') await this.#cutOff();
    else for (const result of this.#results) this.#count(result);
    this.#results = [];
    if (stopped !== '') return stopped;
    if (this.#foundAt === this.#limit) return 'violation';
    return this.#overAt > this.#limit ? 'done' : this.#exhausted ? 'exhausted' : 'over';
  }

  /** The next range to run, of the lane that is furthest behind; null when there is none now. */
  #deal(under: number): RangeTask | null {
    if (under >= this.#options.executor.width) return null;
    const open = this.#lanes
      .filter((lane) => (lane.lane === LANE_FREE || !lane.busy) && this.#nextOf(lane) < this.#limit)
      .toSorted((x, y) => this.#nextOf(x) - this.#nextOf(y));
    const [lane] = open;
    if (lane === undefined) return null;
    const rest = lane.rests.shift();
    const from = rest?.from ?? lane.next;
    const to = Math.min(rest?.to ?? from + lane.size, this.#limit);
    const task = { from, to, lane: lane.lane, state: lane.state, ms: 2 * RANGE_MS };
    if (rest === undefined) lane.next = to;
    lane.under.add(task);
    lane.busy = true;
    return task;
  }

  #nextOf(lane: Lane): number {
    return lane.rests[0]?.from ?? lane.next;
  }

  /** A range has come back. */
  #take(task: RangeTask, result: RangeResult): void {
    const lane = this.#lanes.find((each) => each.lane === task.lane) as Lane;
    lane.under.delete(task);
    lane.busy = false;
    lane.state = result.state;
    if (result.to < task.to) {
      lane.rests.push({ ...task, from: result.to });
      lane.rests.sort((x, y) => x.from - y.from);
    }
    if (result.ms > 0.1) {
      const fitting = ((result.to - task.from) / result.ms) * RANGE_MS;
      lane.size = Math.max(1, Math.min(Math.ceil(fitting), lane.size * 4));
    } else lane.size *= 4;
    this.#results.push(result);
    this.#end(result);
  }

  /** Where the campaign ends, as far as this result tells. */
  #end(result: RangeResult): void {
    const { keepGoing, until, lookOn } = this.#options.spec;
    if (result.over && result.task.lane === LANE_KEPT && result.to < this.#overAt) {
      // a search by itself ends with its last schedule; of a portfolio's it means that every schedule has been tried
      this.#overAt = result.to;
      this.#exhausted = result.exhausted;
    }
    if (keepGoing) return;
    if (until === null) {
      if (result.firstViolation >= 0) this.#foundAt = Math.min(this.#foundAt, result.firstViolation + 1 + lookOn);
      return;
    }
    for (const { invariant, number } of result.finds) {
      if (invariant === until) this.#foundAt = Math.min(this.#foundAt, number + 1);
    }
  }

  /** Whether all below the end has been done. */
  #isDone(): boolean {
    return this.#frontier() >= this.#limit;
  }

  /** All schedules below this number have been done. */
  #frontier(): number {
    return Math.min(
      ...this.#lanes.flatMap((lane) => [
        lane.next,
        ...[...lane.under].map(({ from }) => from),
        ...lane.rests.map(({ from }) => from),
      ]),
    );
  }

  /** Counts what is sure to lie below the end: a find above all that has been done can only end it later. */
  #settle(): void {
    const sure = Math.min(this.#frontier(), this.#limit);
    const later: RangeResult[] = [];
    for (const result of this.#results) {
      if (result.to <= sure) this.#count(result);
      else later.push(result);
    }
    this.#results = later;
  }

  #count(result: RangeResult): void {
    this.tally.add(result);
    if (result.task.lane === LANE_KEPT) this.state = result.state;
  }

  /** The end is known: ranges that go beyond it are run again up to there. */
  async #cutOff(): Promise<void> {
    this.#settle();
    for (const { task, to } of this.#results) {
      let { state } = task;
      for (let { from } = task; from < Math.min(to, this.#limit);) {
        const result = await this.#options.executor.run({ ...task, from, state, to: this.#limit, ms: Infinity });
        this.#count(result);
        if (result.to === from) break;
        from = result.to;
        state = result.state;
      }
    }
  }
}
