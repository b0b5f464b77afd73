/**
 * Preemption-bounded depth-first search (Musuvathi, Qadeer: Iterative Context Bounding for Systematic Testing of Multithreaded
 * Programs, PLDI 2007; the strategy of CHESS): all schedules without a preemption, then all with at most one, two, and so on. Most
 * bugs need few. A preemption is a switch away from an actor that could go on; switches at its end, where it waits, and at
 * points that give way (between two operations, the top of a retry loop) are free.
 *
 * Retries end by fairness (Musuvathi, Qadeer: Fair Stateless Model Checking, PLDI 2008): an actor that has passed GIVES_MAX
 * points that give way while another could run and did not is held until that one has; one that has run BURST_MAX steps in
 * a row stands before such a point. What that leaves out is not claimed: the search is `exhausted` only when nothing was.
 *
 * Schedules of a lower bound come up again under the next; their number is a small part of it. The search goes on from
 * schedule to schedule: the path of choices is kept, the deepest one that has an alternative is changed.
 */
import { EFFECT_LOCAL, EFFECT_RETRY, FIRST_IDLE } from '../../machine/effects.js';
import type { ScheduleView, Strategy, StrategyKind } from './strategy.js';

const GIVES_MAX = 8;
const BURST_MAX = 200;

/** What goes over to another thread. */
interface SearchState {
  readonly taken: Uint8Array;
  readonly options: Uint8Array;
  readonly bound: number;
  readonly cut: boolean;
  readonly held: boolean;
  readonly over: boolean;
}

class DfsStrategy implements Strategy {
  readonly name = 'dfs';
  /** Where there was a choice, from the start: which of how many was taken. The first `#length` count. */
  #taken = new Uint8Array(256);
  #options = new Uint8Array(256);
  #length = 0;
  /** Choices made in the schedule under way. */
  #at = 0;
  #bound = 0;
  #preemptions = 0;
  #burst = 0;
  /** The bound has cut a choice, fairness has. */
  #cut = false;
  #held = false;
  #over = false;
  #actors = 0;
  /** `#gave[a * actors + b]`: points that give way which a has passed since b ran last. */
  #gave = new Uint8Array(0);
  readonly #list = new Uint8Array(256);

  get exhausted(): boolean {
    return this.#over && !this.#held;
  }

  get over(): boolean {
    return this.#over;
  }

  keeps(): boolean {
    return true;
  }

  save(): SearchState {
    return {
      taken: this.#taken.slice(0, this.#length),
      options: this.#options.slice(0, this.#length),
      bound: this.#bound,
      cut: this.#cut,
      held: this.#held,
      over: this.#over,
    };
  }

  restore(state: unknown): void {
    const { taken, options, bound, cut, held, over } = state as SearchState;
    this.#taken = grown(taken);
    this.#options = grown(options);
    this.#length = taken.length;
    this.#bound = bound;
    this.#cut = cut;
    this.#held = held;
    this.#over = over;
  }

  begin(_schedule: number, actors: number): boolean {
    if (this.#over) return false;
    if (this.#actors !== actors) this.#gave = new Uint8Array(actors * actors);
    this.#actors = actors;
    this.#gave.fill(0);
    this.#at = 0;
    this.#preemptions = 0;
    this.#burst = 0;
    return true;
  }

  pick(view: ScheduleView): number {
    const count = view.enabledCount;
    const actor = count === 1 ? (view.enabled[0] as number) : this.#choose(view);
    this.#burst = actor === view.last ? this.#burst + 1 : 0;
    const actors = this.#actors;
    const gave = this.#gave;
    const gives = givesWay(view.pending[actor] as number) || this.#burst >= BURST_MAX;
    for (let other = 0; other < actors; other++) {
      gave[other * actors + actor] = 0;
      const at = actor * actors + other;
      if (gives && other !== actor && (gave[at] as number) < GIVES_MAX) gave[at] = (gave[at] as number) + 1;
    }
    return actor;
  }

  /** Goes back to the deepest choice that has an alternative; without one, to the next bound. */
  end(): void {
    while (this.#length > 0) {
      const last = this.#length - 1;
      const next = (this.#taken[last] as number) + 1;
      if (next < (this.#options[last] as number)) {
        this.#taken[last] = next;
        return;
      }
      this.#length = last;
    }
    if (!this.#cut) {
      this.#over = true;
      return;
    }
    this.#bound++;
    this.#cut = false;
    this.#held = false;
  }

  guarantee(): string {
    const tried = this.#over
      ? 'every schedule was tried'
      : this.#bound > 0
        ? `every schedule with at most ${this.#bound - 1} preemptions was tried`
        : '';
    return tried === '' || !this.#held ? tried : `${tried}, but for retries that others were kept waiting by`;
  }

  #choose(view: ScheduleView): number {
    const list = this.#list;
    const options = this.#listOptions(view);
    if (options === 1) return list[0] as number;
    const at = this.#at++;
    if (at === this.#length) this.#push(options);
    // a program that its choices do not decide may have fewer options than it had
    const taken = Math.min(this.#taken[at] as number, options - 1);
    const actor = list[taken] as number;
    if (taken > 0 && this.#isPreempted(view)) this.#preemptions++;
    return actor;
  }

  /** Lists who may run: the last actor first while it can, then the others from there on. Returns how many. */
  #listOptions(view: ScheduleView): number {
    const { enabled, last } = view;
    const count = view.enabledCount;
    const list = this.#list;
    let first = 0;
    while (first < count && (enabled[first] as number) < last) first++;
    if (this.#isPreempted(view) && this.#preemptions >= this.#bound) {
      this.#cut = true;
      list[0] = last;
      return 1;
    }
    let options = 0;
    for (let i = 0; i < count; i++) {
      const actor = enabled[(first + i) % count] as number;
      if (!this.#isHeld(view, actor)) list[options++] = actor;
    }
    if (options < count) this.#held = true;
    if (options > 0) return options;
    for (let i = 0; i < count; i++) list[i] = enabled[(first + i) % count] as number;
    return count;
  }

  /** Whether running another than the last actor would be a preemption. */
  #isPreempted(view: ScheduleView): boolean {
    const { last, enabled } = view;
    if (last < 0 || this.#burst >= BURST_MAX || givesWay(view.pending[last] as number)) return false;
    for (let i = 0; i < view.enabledCount; i++) if (enabled[i] === last) return true;
    return false;
  }

  /** Whether `actor` stands where it must let others run first. */
  #isHeld(view: ScheduleView, actor: number): boolean {
    const stands = givesWay(view.pending[actor] as number) || (actor === view.last && this.#burst >= BURST_MAX);
    if (!stands) return false;
    for (let i = 0; i < view.enabledCount; i++) {
      const other = view.enabled[i] as number;
      if (other !== actor && this.#gave[actor * this.#actors + other] === GIVES_MAX) return true;
    }
    return false;
  }

  #push(options: number): void {
    const at = this.#length++;
    if (at === this.#taken.length) {
      this.#taken = grown(this.#taken);
      this.#options = grown(this.#options);
    }
    this.#taken[at] = 0;
    this.#options[at] = options;
  }
}

function grown(array: Uint8Array): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(Math.max(256, array.length * 2));
  larger.set(array);
  return larger;
}

/** The top of a retry loop, or between two operations. */
function givesWay(effect: number): boolean {
  const kind = effect & 15;
  return kind === EFFECT_LOCAL || kind === EFFECT_RETRY || kind >= FIRST_IDLE;
}

export const dfs: StrategyKind = {
  name: 'dfs',
  title: 'every schedule without a preemption, then with one, two, ...',
  create: () => new DfsStrategy(),
};
