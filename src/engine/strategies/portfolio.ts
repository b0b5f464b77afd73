/**
 * Several strategies in fixed shares, by schedule number: none is best for every bug (Thomson, Donaldson, Betts: Concurrency
 * testing using controlled schedulers, ACM TOPC 2(4), 2016), and a campaign that mixes them needs at most a few times the
 * schedules of the one that would have been. The default of `explore`.
 *
 * Of every 16 schedules: 4 random, 3 SURW, 3 POS, 2 PCT of depth 2, 3 PCT of the depth asked for, 1 of the bounded search.
 * When that search has tried every schedule of the program, nothing is left for the others either.
 */
import { mixSeed } from '../../machine/context.js';
import { dfs } from './dfs.js';
import { pct } from './pct.js';
import { pos } from './pos.js';
import { random } from './random.js';
import type { ScheduleView, Strategy, StrategyKind, StrategyOptions } from './strategy.js';
import { surw } from './surw.js';

const RANDOM = 0;
const SURW = 1;
const POS = 2;
const PCT_2 = 3;
const PCT = 4;
const DFS = 5;

/** Whose turn it is; cheap finds first come from different ones. */
const TURNS = [RANDOM, SURW, POS, PCT, PCT_2, SURW, RANDOM, PCT, POS, DFS, RANDOM, SURW, PCT, PCT_2, POS, RANDOM];
const MEMBERS = 6;

/** By turn: how many of its member's turns come before it in a round. */
const EARLIER = TURNS.map((member, turn) => TURNS.slice(0, turn).filter((each) => each === member).length);
const SHARES = Array.from({ length: MEMBERS }, (_, member) => TURNS.filter((each) => each === member).length);

/** The member's own number of schedule `schedule`. */
function ownNumber(schedule: number, member: number): number {
  const turn = schedule % TURNS.length;
  const rounds = (schedule - turn) / TURNS.length;
  return rounds * (SHARES[member] as number) + (EARLIER[turn] as number);
}

class PortfolioStrategy implements Strategy {
  readonly name = 'portfolio';
  readonly #members: readonly Strategy[];
  readonly #names: readonly string[];
  #current: Strategy;
  #currentName = '';

  constructor({ seed, depth, profile }: StrategyOptions) {
    const kinds = [random, surw, pos, pct, pct, dfs];
    const depths = [depth, depth, depth, 2, depth, depth];
    this.#members = kinds.map((kind, member) =>
      kind.create({ seed: mixSeed(seed, member), depth: depths[member] as number, profile }),
    );
    this.#names = kinds.map(({ name }, member) => (kinds[member] === pct ? `${name}-${depths[member]}` : name));
    this.#current = this.#members[RANDOM] as Strategy;
  }

  get member(): string {
    return this.#currentName;
  }

  get exhausted(): boolean {
    return (this.#members[DFS] as Strategy).exhausted;
  }

  keeps(schedule: number): boolean {
    return TURNS[schedule % TURNS.length] === DFS;
  }

  save(): unknown {
    return this.#members[DFS]?.save?.();
  }

  restore(state: unknown): void {
    this.#members[DFS]?.restore?.(state);
  }

  begin(schedule: number, actors: number): boolean {
    const member = TURNS[schedule % TURNS.length] as number;
    // only the search's own turn ends it: who runs other numbers of a range does not look at it
    if (member === DFS && this.exhausted) return false;
    const strategy = this.#members[member] as Strategy;
    if (strategy.begin(ownNumber(schedule, member), actors)) {
      this.#current = strategy;
      this.#currentName = this.#names[member] as string;
      return true;
    }
    // the search is over but had to leave something out: its turns are the random walk's, with numbers of their own
    this.#current = this.#members[RANDOM] as Strategy;
    this.#currentName = this.#names[RANDOM] as string;
    return this.#current.begin(0x40000000 + schedule, actors);
  }

  pick(view: ScheduleView): number {
    return this.#current.pick(view);
  }

  end(steps: number): void {
    this.#current.end(steps);
  }

  guarantee(schedules: number): string {
    const rounds = Math.floor(schedules / TURNS.length);
    const rest = schedules % TURNS.length;
    return [PCT_2, PCT, DFS]
      .map((member) => {
        const more = TURNS.slice(0, rest).filter((each) => each === member).length;
        const own = rounds * (SHARES[member] as number) + more;
        const said = own === 0 ? '' : (this.#members[member] as Strategy).guarantee(own);
        return said === '' ? '' : `${this.#names[member]}: ${said}`;
      })
      .filter((said, i, all) => said !== '' && all.indexOf(said) === i)
      .join('; ');
  }
}

export const portfolio: StrategyKind = {
  name: 'portfolio',
  title: 'shares of random, surw, pos, pct and dfs',
  profiles: true,
  deep: true,
  create: (options) => new PortfolioStrategy(options),
};
