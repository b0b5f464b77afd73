/** What a campaign's ranges come to together. The order in which they are put in does not matter. */
import { OrderTable } from './orders.js';
import type { Find, MemberCount, OutcomeCount, RangeResult, UndeclaredAt } from './range.js';

/** A point of the curve of what was new: of so many schedules, so many behaviours. */
export interface NewBehaviours {
  readonly schedules: number;
  readonly behaviours: number;
}

export class Tally {
  schedules = 0;
  steps = 0;
  rechecked = 0;
  violations = 0;
  /** The first find of each kind. */
  readonly finds = new Map<string, Find>();
  readonly outcomes = new Map<number | string, OutcomeCount>();
  readonly members = new Map<string, MemberCount>();
  readonly orders = new OrderTable();
  /** By text, the first schedule that has it. */
  readonly undeclared = new Map<string, UndeclaredAt>();

  add(result: RangeResult): void {
    this.schedules += result.schedules;
    this.steps += result.steps;
    this.rechecked += result.rechecked;
    this.violations += result.violations;
    for (const outcome of result.outcomes) this.#addOutcome(outcome);
    for (const find of result.finds) {
      const known = this.finds.get(find.kind);
      if (known === undefined || find.number < known.number) this.finds.set(find.kind, find);
    }
    for (const { name, schedules, violations } of result.members) {
      const row = this.members.get(name) ?? { name, schedules: 0, violations: 0 };
      row.schedules += schedules;
      row.violations += violations;
      this.members.set(name, row);
    }
    for (const each of result.undeclared) {
      const known = this.undeclared.get(each.breach.what);
      if (known === undefined || each.first < known.first) this.undeclared.set(each.breach.what, each);
    }
    this.orders.add(result.orders);
  }

  #addOutcome(outcome: OutcomeCount): void {
    const known = this.outcomes.get(outcome.key);
    if (known === undefined) {
      this.outcomes.set(outcome.key, { ...outcome });
      return;
    }
    known.count += outcome.count;
    if (outcome.first >= known.first) return;
    known.first = outcome.first;
    known.variation = outcome.variation;
    known.choices = outcome.choices;
  }

  /** The most common first. */
  sortedOutcomes(): OutcomeCount[] {
    return [...this.outcomes.values()].toSorted((x, y) => y.count - x.count || (x.state < y.state ? -1 : 1));
  }

  /** By schedule number. */
  sortedUndeclared(): UndeclaredAt[] {
    return [...this.undeclared.values()].toSorted((x, y) => x.first - y.first);
  }

  /** By schedule number. */
  sortedFinds(): Find[] {
    return [...this.finds.values()].toSorted((x, y) => x.number - y.number);
  }

  /** The schedules that brought something new: an outcome, or two accesses in an order not seen before. Ascending. */
  newIn(): number[] {
    const outcomes = [...this.outcomes.values()].map(({ first }) => first);
    return [...outcomes, ...this.orders.summary().firsts].toSorted((x, y) => x - y);
  }
}

/** The curve at 1, 10, 100, ... schedules and at the last one. */
export function curve(newIn: readonly number[], schedules: number): NewBehaviours[] {
  const points: number[] = [];
  for (let at = 1; at < schedules; at *= 10) points.push(at);
  if (schedules > 0) points.push(schedules);
  return points.map((at) => ({ schedules: at, behaviours: newIn.filter((number) => number < at).length }));
}

/** New behaviours per thousand schedules, in the last half of them. */
export function newPerThousand(newIn: readonly number[], schedules: number): number {
  const from = Math.floor(schedules / 2);
  const late = newIn.filter((number) => number >= from && number < schedules).length;
  return schedules === 0 ? 0 : (1000 * late) / (schedules - from);
}
