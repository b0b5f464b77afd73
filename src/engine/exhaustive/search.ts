/**
 * Exhaustive search by optimal dynamic partial order reduction (Abdulla, Aronis, Jonsson, Sagonas, JACM 64(4), 2017): of the schedules
 * that differ only in the order of steps that do not depend on each other, one is run. When an execution has ended, its races
 * (trace.ts) are turned round, one by one: what has to happen for the later event to come first is put into the wake-up tree
 * of the node where the earlier one was chosen, unless something tried there before (its sleep set) leads to the same.
 *
 * The search is stateless, for coroutines cannot be copied: each execution runs the common beginning again, by its recorded choices.
 *
 *     pick:  recorded choices  ->  a branch of a wake-up tree  ->  whoever can run and has not been tried here
 *     end:   races -> wake-up trees; back to the deepest node with a branch left
 *
 * What blocks: an attempt on a held lock that changes nothing is no event; its actor is disabled. At a deadlock the steps that actors
 * stand before take part in races. Points without effect are run at once and are no events. A turn of a retry loop after which
 * nothing has changed is not followed by another until one of the words it touched does ({@link Retries}).
 *
 * What it promises: every final state, result of an operation, deadlock, and verdict of the audit at the end that any schedule has, and
 * every assertion made under locks that make it exact. Not every state on the way: a question about several words between two
 * steps must name them as `observed`.
 */
import { EFFECT_ACQUIRE, EFFECT_RETRY } from '../../machine/effects.js';
import { END_DEADLOCK, END_FINISHED, END_LIVELOCK } from '../one-thread/end-kinds.js';
import type { Program } from '../one-thread/program.js';
import { PRUNE, type ScheduleView, type Strategy } from '../strategies/strategy.js';
import { type FirstBreach, firstBreaches } from './breaches.js';
import { type SearchCounts, guaranteeOf, isExact, noCounts } from './counts.js';
import { BARS, SLOTS } from './dependence.js';
import { Nodes, type SavedNode, plain } from './nodes.js';
import { Retries } from './retries.js';
import { Reversals } from './reversals.js';
import type { OuterBranch, SavedSearch } from './saved.js';
import { RETURNED, type Standing } from './standing.js';
import { States } from './states.js';
import { EVENT, FAILED, StepAccesses, WORDS_BESIDE } from './step-accesses.js';
import { Trace } from './trace.js';
import { type Branch, following, pruned } from './wakeup-tree.js';

/** Sets of actors are bits of an integer. */
export const ACTORS_MAX = 31;

interface SearchOptions {
  /** Words of which every state on the way matters, not only the last: the order of two changes of any of them counts. */
  readonly observed?: readonly number[] | undefined;
}

const NOBODY = -1;
const LOCK_VALUE = 0x7fffffff;

export class Search implements Strategy {
  readonly name = 'exhaustive';
  counts: SearchCounts = noCounts();
  readonly trace: Trace;
  readonly nodes: Nodes;
  /** Of the execution that ran last: the rules that were broken on its way before all others. */
  firsts: readonly FirstBreach[] = [];
  readonly #program: Program;
  readonly #standing: Standing;
  readonly #retries: Retries;
  readonly #states: States;
  readonly #reversals: Reversals;
  readonly #accesses: StepAccesses;
  #choices = new Uint8Array(1024);
  /** Steps that the trace knows; and steps that are given, but are to be looked at as they run. */
  #repeat = 0;
  #given = 0;
  #restoring = false;
  /** By node: the step that leaves it. */
  #steps = new Int32Array(256);
  readonly #outer: OuterBranch[] = [];
  #view: ScheduleView | null = null;
  #started = false;
  /** Whose step is under way, before it is known what it has done; its effect, and what the word held. */
  #acting = NOBODY;
  #effect = 0;
  #before = 0;
  /** The branch that goes on: its move comes next. */
  #branch: Branch | null = null;
  #wasPruned = false;
  /** All that can run goes round for nothing: on without looking. */
  #aimless = false;
  #turn = 0;
  #over = false;
  #saved: SavedSearch | null = null;

  constructor(program: Program, options: SearchOptions = {}) {
    const actors = program.actors.length;
    if (actors > ACTORS_MAX) throw new RangeError(`exhaustive search: ${actors} actors, at most ${ACTORS_MAX}`);
    this.#program = program;
    this.#accesses = new StepAccesses(program, options.observed ?? []);
    this.#standing = this.#accesses.standing;
    this.trace = new Trace(actors, Math.max(program.words.length + WORDS_BESIDE, program.wordsNamed ?? 0));
    this.nodes = new Nodes(this.trace);
    this.#retries = new Retries(this.trace, this.#standing, program.words);
    this.#states = new States(this.trace, program.words);
    this.#reversals = new Reversals(this.trace, this.nodes, this.#standing, this.#retries, this.#accesses.isLoose);
    this.nodes.reset([]);
  }

  /** Every execution has been run, each to its end. */
  get exhausted(): boolean {
    return this.#over && this.isExact;
  }

  /** So far nothing had to be left out. */
  get isExact(): boolean {
    return isExact(this.counts);
  }

  get over(): boolean {
    return this.#over;
  }

  /** Steps that led to `node` in the execution that ran last. */
  stepOf(node: number): number {
    return this.#steps[node] as number;
  }

  /** What is to be tried at nodes that somebody else keeps: since the last call. */
  takeOuter(): OuterBranch[] {
    return this.#outer.splice(0, this.#outer.length);
  }

  /** Executions that are left, about: none can know. */
  get estimate(): number {
    if (this.#over) return 0;
    const share = this.nodes.share();
    return share <= 0 ? Infinity : (this.counts.executions / share) * (1 - share);
  }

  keeps(): boolean {
    return true;
  }

  begin(): boolean {
    this.#acting = NOBODY;
    this.#aimless = false;
    this.#wasPruned = false;
    this.#view = null;
    this.#saved = null;
    return !this.#over;
  }

  pick(view: ScheduleView): number {
    if (view.step < this.#repeat) return this.#choices[view.step] as number;
    if (this.#view === null) this.#beginNew(view);
    else if (!this.#aimless) this.#settle(view);
    if (!this.#aimless) this.#keep(view.step);
    if (view.step < this.#given) return this.#step(this.#choices[view.step] as number);
    if (this.#restoring) {
      this.#restoring = false;
      // those of the way here have been turned round by whoever came here first
      this.trace.clearRaces();
      this.#given = 0;
      this.#branch = this.nodes.open(this.trace.length).shift() ?? null;
    }
    const actor = this.#choose(view);
    if (actor >= 0) this.#note(view.step, actor);
    return actor < 0 || this.#aimless ? actor : this.#step(actor);
  }

  end(steps: number, end = END_FINISHED, breachSteps: readonly number[] = []): void {
    const { counts, trace, nodes } = this;
    this.firsts = [];
    // a fair phase that has followed on a step limit is not part of it
    if (this.#view !== null && !this.#aimless && this.#view.step === steps) this.#settle(this.#view);
    if (!this.#wasPruned) {
      counts.executions++;
      const done = this.#isAllDone();
      if (end !== END_FINISHED && !done) this.#raceBlocked();
      // all that could run goes round, and always will: an end like a deadlock
      const livelock = this.#aimless && end === END_LIVELOCK;
      if (!done && end !== END_DEADLOCK && !livelock) counts.cut++;
      const known = breachSteps.filter((step) => step <= steps);
      this.firsts = firstBreaches({ trace, choices: this.#choices, steps: this.#steps }, known);
    }
    this.#reversals.turnAll();
    for (const { node, sequence } of this.#reversals.outer.splice(0)) {
      const sent = structuredClone(sequence);
      this.#outer.push({
        at: node,
        step: this.#steps[node] as number,
        chosen: plain(nodes.move(node)),
        sequence: sent,
      });
    }
    counts.folded += this.#reversals.folded;
    this.#reversals.folded = 0;
    const node = nodes.deepest();
    if (node < this.#reversals.own) {
      this.#over = true;
      return;
    }
    this.#repeat = this.#steps[node] as number;
    this.#branch = nodes.retry(node);
    trace.truncate(node);
    this.#standing.restore(node);
    this.#states.restore(node);
  }

  guarantee(): string {
    return guaranteeOf(this.counts, this.exhausted);
  }

  /** Where the search stands, between two executions. The same object until another has run. */
  save(): SavedSearch {
    this.#saved ??= {
      choices: this.#choices.slice(0, this.#repeat),
      nodes: this.#savedNodes(),
      own: this.#reversals.own,
      over: this.#over,
      counts: { ...this.counts },
    };
    return this.#saved;
  }

  /** Goes on from there. */
  restore(state: SavedSearch): void {
    if (state === this.#saved) return;
    this.counts = { ...state.counts };
    this.#choices = new Uint8Array(Math.max(1024, state.choices.length * 2));
    this.#choices.set(state.choices);
    this.#given = state.choices.length;
    this.#restoring = true;
    this.#repeat = 0;
    this.#over = state.over;
    this.#reversals.own = state.own;
    this.#branch = null;
    this.#started = false;
    this.trace.truncate(0);
    this.trace.clearRaces();
    this.#states.reset();
    this.nodes.reset(state.nodes);
  }

  /** The nodes on the way to the next branch, which is put back to the others. */
  #savedNodes(): SavedNode[] {
    if (this.#over || !this.#started) return [];
    const last = this.trace.length;
    const saved = this.nodes.save(last, this.#steps);
    if (this.#branch !== null) saved.at(-1)?.open.unshift(structuredClone(this.#branch));
    return saved;
  }

  /** The first step of this execution that no other has had. */
  #beginNew(view: ScheduleView): void {
    this.#view = view;
    if (!this.#started) {
      this.#started = true;
      this.#standing.begin(view.pending);
    }
    this.#accesses.begin();
  }

  /** Everything that is needed to go on from here again, before step `step`. */
  #keep(step: number): void {
    const node = this.trace.length;
    if (node >= this.#steps.length) this.#steps = longer(new Int32Array(node * 2 + 2), this.#steps);
    this.#steps[node] = step;
    this.#standing.keep(node);
    this.#states.keep(node);
  }

  #note(step: number, actor: number): void {
    if (step >= this.#choices.length) this.#choices = longer(new Uint8Array(step * 2 + 2), this.#choices);
    this.#choices[step] = actor;
  }

  /** Lets `actor` do its next step. */
  #step(actor: number): number {
    this.#acting = actor;
    this.#effect = this.#standing.effect(actor);
    this.#before = this.#accesses.valueOf(this.#effect >>> 4);
    if (this.#effect === EFFECT_RETRY) this.#retries.leaves(actor);
    if (this.#standing.isLocal(actor) || this.#standing.isIdle(actor)) this.#standing.turned(actor);
    return actor;
  }

  /** Who runs next, or PRUNE. */
  #choose(view: ScheduleView): number {
    const standing = this.#standing;
    if (this.#branch !== null && this.#retries.isStill(this.#branch.actor)) {
      // it would go round once more for nothing: the rest goes on without that
      const node = this.trace.length;
      this.nodes.add(node, pruned(this.#branch, this.#retries.still()));
      this.#branch = this.nodes.open(node).shift() ?? null;
      this.counts.folded++;
      this.#wasPruned = this.#branch === null;
      if (this.#wasPruned) return PRUNE;
    }
    if (this.#branch !== null) {
      const { actor } = this.#branch;
      for (let i = 0; i < view.enabledCount; i++) if (view.enabled[i] === actor) return actor;
      this.#strays(`${this.#nameOf(actor)} cannot run`);
    }
    const asleep = this.nodes.asleep(this.trace.length);
    let best = NOBODY;
    let least = Infinity;
    let sleeping = false;
    for (let i = 0; i < view.enabledCount; i++) {
      const actor = view.enabled[i] as number;
      if ((asleep & (1 << actor)) !== 0) {
        sleeping = true;
        continue;
      }
      if (this.#retries.isStill(actor)) continue;
      const effect = standing.effect(actor);
      const held = (effect & 15) === EFFECT_ACQUIRE && (this.#accesses.valueOf(effect >>> 4) & LOCK_VALUE) !== 0;
      // an attempt that will fail comes last, for it may leave a mark
      const rank = (held ? 1e9 : 0) + 2 * standing.turns(actor) - (actor === view.last ? 1 : 0);
      if (rank >= least) continue;
      least = rank;
      best = actor;
    }
    if (best !== NOBODY) return best;
    if (sleeping) {
      this.counts.blocked++;
      this.#wasPruned = true;
      return PRUNE;
    }
    this.#aimless = true;
    return view.enabled[this.#turn++ % view.enabledCount] as number;
  }

  /** The step under way is over: an event, unless it has touched nothing. */
  #settle(view: ScheduleView): void {
    const actor = this.#acting;
    if (actor === NOBODY) return;
    this.#acting = NOBODY;
    const now = view.pending[actor] as number;
    const taken = this.#accesses.take(actor, this.#effect, this.#before, now);
    if (this.#accesses.problem !== '') this.#strays(this.#accesses.problem);
    if (taken === EVENT) this.#append();
    else if (taken === FAILED && this.#branch !== null) this.#strays(`${this.#nameOf(actor)} does not get a lock`);
    else if (now === RETURNED && this.#branch?.actor === actor) this.#strays(`${this.#nameOf(actor)} returns`);
    if (taken === FAILED) return;
    if (this.#standing.effect(actor) === EFFECT_RETRY) this.#states.atTop(actor, this.#standing.loop(actor));
    const seen = this.#states.seen();
    if (this.#retries.arrived(actor)) this.counts.folded++;
    else if (seen >= 0) {
      this.#retries.returned(seen);
      this.counts.folded++;
    }
  }

  #append(): void {
    const { trace, nodes } = this;
    const event = trace.length;
    trace.append(this.#accesses.next);
    const branch = this.#branch;
    if (branch === null) nodes.advance(event, []);
    else {
      const access = trace.accesses[event * SLOTS] as number;
      const [first = null, ...others] = following(branch, access);
      nodes.advance(event, others);
      this.#branch = first;
      if (declared(access) !== declared(branch.accesses[0] as number)) {
        this.#strays(`${this.#nameOf(branch.actor)} does something else than before`);
      }
    }
    this.#retries.happened(event);
    this.#states.happened(event);
  }

  #isAllDone(): boolean {
    for (let actor = 0; actor < this.trace.actors; actor++) {
      if (this.#standing.effect(actor) !== RETURNED) return false;
    }
    return true;
  }

  /** The execution has ended before its actors: the steps they stand before have races too. */
  #raceBlocked(): void {
    const standing = this.#standing;
    for (let actor = 0; actor < this.trace.actors; actor++) {
      const effect = standing.effect(actor);
      if (effect === RETURNED || standing.isLocal(actor)) continue;
      this.#accesses.stood(actor, effect, this.#accesses.valueOf(effect >>> 4));
      this.trace.racesOf(this.#accesses.next);
    }
  }

  /** The branch cannot be followed. */
  #strays(why: string): void {
    this.#branch = null;
    if (this.counts.strayed++ === 0) this.counts.stray = why;
  }

  #nameOf(actor: number): string {
    return this.#program.actors[actor] ?? `actor ${actor}`;
  }
}

/** The access that was declared, of one that has failed. */
const declared = (access: number): number => ((access & 15) === BARS ? (access & ~15) | EFFECT_ACQUIRE : access);

const longer = <T extends Uint8Array | Int32Array>(array: T, old: T): T => (array.set(old), array);
