/** What a strategy is: who runs next. One file per strategy, each a sibling of the same shape. */

/** Instead of an actor: this schedule is not worth going on with. */
export const PRUNE = -2;

/** What a strategy sees of the running schedule. One object for all; it must not be kept or changed. */
export class ScheduleView {
  /** Actors of the program. */
  actors = 0;
  /** The actors that can run now, ascending: the first `enabledCount` entries. */
  readonly enabled = new Uint8Array(256);
  enabledCount = 0;
  /** What each actor stands before: the packed effect (effects.ts) that its next step performs; -1 = it has returned. */
  readonly pending = new Int32Array(256);
  /** Steps done so far. */
  step = 0;
  /** Who ran the last step; -1 before the first. */
  last = -1;
}

export interface Strategy {
  readonly name: string;
  /** Who decides the schedule that began last, where that is another: a portfolio's member. */
  readonly member?: string;
  /**
   * A new schedule begins.
   * @param schedule its number, from 0: with the strategy's seed it fixes every choice of strategies that keep nothing
   * @returns false when the strategy has nothing left to try
   */
  begin(schedule: number, actors: number): boolean;
  /**
   * The actor that runs next, one of `view.enabled`; -1 ends the schedule here (a script that no longer fits), PRUNE as well (a
   * search knows what would come).
   */
  pick(view: ScheduleView): number;
  /** The schedule that began last has ended after `steps` steps, as `end` (END_*); it went on past rules broken at `breachSteps`. */
  end(steps: number, end?: number, breachSteps?: readonly number[]): void;
  /** Whether every schedule there is has been tried. */
  readonly exhausted: boolean;
  /** What `schedules` schedules without a find say about what was missed; empty when nothing can be said. */
  guarantee(schedules: number): string;
  /**
   * Whether schedule number `schedule` goes on from where an earlier one left off, as a search does. Absent: none does; seed and
   * number fix every choice, and ranges of numbers can run on different threads. A schedule that does runs the program's
   * first workload, whatever its number.
   */
  keeps?(schedule: number): boolean;
  /** What goes on, as plain data, and going on from there: for a search that moves from one thread to another. */
  save?(): unknown;
  restore?(state: unknown): void;
  /** A search has nothing more to try, `exhausted` or not. */
  readonly over?: boolean;
}

export interface StrategyOptions {
  readonly seed: number;
  /** Depth of the bugs looked for, for strategies that have one: 1 = any order will do. */
  readonly depth: number;
  /** What first runs of the program have shown. Without it strategies learn from their own schedules, and keep that. */
  readonly profile?: Profile | undefined;
}

/** How a strategy stands in the registry. */
export interface StrategyKind {
  readonly name: string;
  readonly title: string;
  /** It makes use of a profile. */
  readonly profiles?: boolean;
  /** `--depth` means something to it. */
  readonly deep?: boolean;
  create(options: StrategyOptions): Strategy;
}

export interface Profile {
  readonly actors: number;
  /** Steps of the longest schedule, and of the mean one. */
  readonly longest: number;
  readonly mean: number;
  /** By actor: its steps, the mean rounded up. */
  readonly steps: Int32Array;
  /** The words whose accesses race: two actors or more have stepped on it, one of them to change it. Ascending. */
  readonly words: Int32Array;
  /** `words.length` rows of `actors`: an actor's accesses to a word (isAccess of races.ts), the mean rounded up. */
  readonly accesses: Int32Array;
}
