/** What a strategy is: who runs next. One file per strategy, each a sibling of the same shape. */

/** What a strategy sees of the running schedule. One object for all; it must not be kept or changed. */
export class ScheduleView {
  /** Actors of the program. */
  actors = 0;
  /** The actors that can run now, ascending: the first `enabledCount` entries. */
  readonly enabled = new Uint8Array(256);
  enabledCount = 0;
  /** What each actor stands before: the packed effect (effects.ts) that its next step performs. */
  readonly pending = new Int32Array(256);
  /** Steps done so far. */
  step = 0;
  /** Who ran the last step; -1 before the first. */
  last = -1;
}

export interface Strategy {
  readonly name: string;
  /**
   * A new schedule begins.
   * @param schedule its number, from 0: with the strategy's seed it fixes every choice of strategies that keep nothing
   * @returns false when the strategy has nothing left to try
   */
  begin(schedule: number, actors: number): boolean;
  /** The actor that runs next, one of `view.enabled`; -1 ends the schedule here (a script that no longer fits). */
  pick(view: ScheduleView): number;
  /** The schedule that began last has ended after `steps` steps. */
  end(steps: number): void;
  /** Whether every schedule there is has been tried. */
  readonly exhausted: boolean;
  /** What `schedules` schedules without a find say about what was missed; empty when nothing can be said. */
  guarantee(schedules: number): string;
}

export interface StrategyOptions {
  readonly seed: number;
  /** Depth of the bugs looked for, for strategies that have one: 1 = any order will do. */
  readonly depth: number;
}

/** How a strategy stands in the registry. */
export interface StrategyKind {
  readonly name: string;
  readonly title: string;
  create(options: StrategyOptions): Strategy;
}
