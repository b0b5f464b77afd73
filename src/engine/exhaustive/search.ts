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
import {
  EFFECT_ACQUIRE,
  EFFECT_ACQUIRE_READ,
  EFFECT_ADD,
  EFFECT_READ,
  EFFECT_RETRY,
  EFFECT_RMW,
  FIRST_IDLE,
  WAIT_LOCK,
} from '../../machine/effects.js';
import { END_DEADLOCK, END_FINISHED } from '../one-thread.js';
import { type Program, TIERS } from '../program.js';
import { PRUNE, type ScheduleView, type Strategy } from '../strategies/strategy.js';
import { BARS, SLOTS } from './dependence.js';
import { Nodes, type SavedNode } from './nodes.js';
import { Retries } from './retries.js';
import { Reversals } from './reversals.js';
import { RETURNED, Standing } from './standing.js';
import { States } from './states.js';
import { NextEvent, Trace } from './trace.js';
import type { Branch, Move } from './wakeup-tree.js';

/** Sets of actors are bits of an integer. */
export const ACTORS_MAX = 31;

export interface SearchOptions {
  /** Words of which every state on the way matters, not only the last: the order of two changes of any of them counts. */
  readonly observed?: readonly number[] | undefined;
}

/** What a search has come to. */
export interface SearchCounts {
  /** Executions that ran to an end of their own. */
  executions: number;
  /** Given up, as everything left had been tried elsewhere. None where the search is optimal. */
  blocked: number;
  /** Turns of retry loops, and races, that would only have repeated a state. */
  folded: number;
  /** Executions that ended at a broken rule, an exception or the step limit: what could have come after is not known. */
  cut: number;
  /** Executions that did not go as their wake-up tree said: something decides that no step has declared. */
  strayed: number;
  /** Of those, the first. */
  stray: string;
}

/** A search as plain data: where it stands between two executions, or a part of it. */
export interface SavedSearch {
  /** Choices that lead to the node with the next branch. */
  readonly choices: Uint8Array;
  readonly nodes: readonly SavedNode[];
  /** Nodes before this one are somebody else's: what is to be tried there is reported, not done. */
  readonly own: number;
  readonly over: boolean;
  readonly counts: SearchCounts;
}

/** What is to be tried at a node that somebody else keeps. */
export interface OuterBranch {
  /** The node, by the number of steps that lead to it, and the move that this part of the search began with there. */
  readonly step: number;
  readonly chosen: Move;
  readonly sequence: readonly Branch[];
}

const NOBODY = -1;
const LOCK_VALUE = 0x7fffffff;
const NO_COUNTS: SearchCounts = { executions: 0, blocked: 0, folded: 0, cut: 0, strayed: 0, stray: '' };

export class Search implements Strategy {
  readonly name = 'exhaustive';
  counts: SearchCounts = { ...NO_COUNTS };
  readonly trace: Trace;
  readonly nodes: Nodes;
  readonly #program: Program;
  readonly #standing: Standing;
  readonly #retries: Retries;
  readonly #states: States;
  readonly #reversals: Reversals;
  readonly #next = new NextEvent();
  readonly #observed: readonly number[];
  readonly #observedValues: Int32Array;
  readonly #observedWord: number;
  readonly #finishWord: number;
  /** Some actors end when others have. */
  readonly #tiered: boolean;
  readonly #beside = new Int32Array(SLOTS);
  readonly #besideBefore = new Int32Array(SLOTS);
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
    this.#finishWord = program.words.length;
    this.#observedWord = program.words.length + 1;
    this.#observed = options.observed ?? [];
    this.#observedValues = new Int32Array(this.#observed.length);
    this.#tiered = program.actors.some((_, actor) => program.tierOf(actor) > 0);
    const loose = program.touchedBeside !== undefined || this.#observed.length > 0;
    this.trace = new Trace(actors, program.words.length + 2);
    this.nodes = new Nodes(this.trace);
    this.#standing = new Standing(program, this.#finishWord);
    this.#retries = new Retries(this.trace, this.#standing, program.words);
    this.#states = new States(this.trace, program.words);
    this.#reversals = new Reversals(this.trace, this.nodes, this.#standing, this.#retries, loose);
    this.nodes.reset([]);
  }

  /** Every execution has been run, each to its end. */
  get exhausted(): boolean {
    return this.#over && this.isExact;
  }

  /** So far nothing had to be left out. */
  get isExact(): boolean {
    return this.counts.cut === 0 && this.counts.strayed === 0;
  }

  get over(): boolean {
    return this.#over;
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
    if (view.step < this.#given) return this.#step(view, this.#choices[view.step] as number);
    if (this.#restoring) {
      this.#restoring = false;
      this.#given = 0;
      this.#branch = this.nodes.open(this.trace.length).shift() ?? null;
    }
    const actor = this.#choose(view);
    return actor < 0 || this.#aimless ? actor : this.#step(view, actor);
  }

  end(_steps: number, end = END_FINISHED): void {
    const { counts, trace, nodes } = this;
    if (this.#view !== null && !this.#aimless) this.#settle(this.#view);
    if (!this.#wasPruned) {
      counts.executions++;
      const done = this.#isAllDone();
      if (end !== END_FINISHED && !done) this.#raceBlocked();
      if (!done && end !== END_DEADLOCK) counts.cut++;
    }
    this.#reversals.turnAll();
    for (const { node, sequence } of this.#reversals.outer.splice(0)) {
      this.#outer.push({ step: this.#steps[node] as number, chosen: nodes.move(node), sequence });
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
    const { executions, blocked, cut, strayed, stray, folded } = this.counts;
    const parts: string[] = [];
    if (this.exhausted) parts.push(`proved: every order of steps that matters has been run, ${executions} executions`);
    if (cut > 0) parts.push(`${cut} of ${executions} executions were cut before their end`);
    if (strayed > 0) parts.push(`${strayed} executions strayed: ${stray}`);
    if (blocked > 0) parts.push(`${blocked} given up on the way as known`);
    if (folded > 0) parts.push(`${folded} turns of retry loops folded`);
    return parts.join('; ');
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

  #savedNodes(): SavedNode[] {
    if (this.#over || !this.#started) return [];
    const at = this.trace.length;
    const saved = this.nodes.save(at);
    const branch = this.#branch;
    if (branch === null) return saved;
    const here = saved.find((node) => node.at === at) ?? { at, tried: [], open: [] };
    return [...saved.filter((node) => node !== here), { ...here, open: [structuredClone(branch), ...here.open] }];
  }

  /** The first step of this execution that no other has had. */
  #beginNew(view: ScheduleView): void {
    this.#view = view;
    if (!this.#started) {
      this.#started = true;
      this.#standing.begin(view.pending);
    }
    for (let i = 0; i < this.#observed.length; i++)
      this.#observedValues[i] = this.#valueOf(this.#observed[i] as number);
    const { touchedBeside } = this.#program;
    if (touchedBeside === undefined) return;
    for (let actor = 0; actor < view.actors; actor++) {
      touchedBeside.call(this.#program, actor, this.#beside, this.#besideBefore);
    }
  }

  #valueOf(word: number): number {
    return word < this.#program.words.length ? (this.#program.words[word] as number) : 0;
  }

  /** Everything that is needed to go on from here again, before step `step`. */
  #keep(step: number): void {
    const node = this.trace.length;
    if (node >= this.#steps.length) this.#steps = longer(new Int32Array(node * 2 + 2), this.#steps);
    this.#steps[node] = step;
    this.#standing.keep(node);
    this.#states.keep(node);
  }

  /** Lets `actor` do its next step. */
  #step(view: ScheduleView, actor: number): number {
    const { step } = view;
    if (step >= this.#choices.length) this.#choices = longer(new Uint8Array(step * 2 + 2), this.#choices);
    this.#choices[step] = actor;
    this.#acting = actor;
    this.#effect = this.#standing.effect(actor);
    this.#before = this.#valueOf(this.#effect >>> 4);
    if (this.#effect === EFFECT_RETRY) this.#retries.leaves(actor);
    if (this.#standing.isLocal(actor) || this.#standing.isIdle(actor)) this.#standing.turned(actor);
    return actor;
  }

  /** Who runs next, or PRUNE. */
  #choose(view: ScheduleView): number {
    const standing = this.#standing;
    if (this.#branch !== null) {
      const { actor } = this.#branch;
      if (this.#retries.isStill(actor)) {
        // the branch would go round once more, where it has been
        this.#wasPruned = true;
        this.counts.folded++;
        return PRUNE;
      }
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
      const held = (effect & 15) === EFFECT_ACQUIRE && (this.#valueOf(effect >>> 4) & LOCK_VALUE) !== 0;
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
    const effect = this.#effect;
    const kind = effect & 15;
    const next = this.#next;
    const after = this.#valueOf(effect >>> 4);
    const waits = now >= 0 && (now & 15) === WAIT_LOCK && now >>> 4 === effect >>> 4;
    next.actor = actor;
    next.count = 0;
    if (effect === EFFECT_RETRY || this.#standing.isLocal(actor)) {
      next.guarded = false;
    } else if (waits && after === this.#before && (kind === EFFECT_ACQUIRE || kind === EFFECT_ACQUIRE_READ)) {
      // disabled: as if it had not tried
      this.#touchBeside(actor, now);
      this.#standing.stand(actor, now);
      if (this.#branch?.actor === actor) this.#strays(`${this.#nameOf(actor)} does not get a lock`);
      return;
    } else {
      if (kind === EFFECT_ACQUIRE && !waits && after === this.#before)
        this.#strays('a trylock that is declared as no such');
      next.guarded = this.#standing.isGuarded(actor) && kind !== EFFECT_ACQUIRE && kind !== EFFECT_ACQUIRE_READ;
      next.guard = this.#standing.guard(actor);
      next.guardMask = this.#standing.guardMask(actor);
      this.#touch(waits && kind === EFFECT_ACQUIRE ? (effect & ~15) | BARS : effect, this.#before);
      next.after = after;
    }
    this.#touchBeside(actor, now);
    this.#standing.stand(actor, now);
    if (next.count > 0) this.#append();
    else if (now === RETURNED && this.#branch?.actor === actor) this.#strays(`${this.#nameOf(actor)} returns`);
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
    trace.append(this.#next);
    const branch = this.#branch;
    if (branch === null) nodes.advance(event, []);
    else {
      nodes.advance(event, branch.next.slice(1));
      this.#branch = branch.next[0] ?? null;
      const wanted = declared(branch.accesses[0] as number);
      if (declared(trace.accesses[event * SLOTS] as number) !== wanted) {
        this.#strays(`${this.#nameOf(branch.actor)} does something else than before`);
      }
    }
    this.#retries.happened(event);
    this.#states.happened(event);
  }

  #touch(access: number, before: number): void {
    const next = this.#next;
    if (next.count === SLOTS) return this.#strays('a step touches too much');
    next.accesses[next.count] = access;
    next.before[next.count++] = before;
  }

  /** What the step has touched that it did not declare. */
  #touchBeside(actor: number, now: number): void {
    const program = this.#program;
    const { words } = program;
    if (program.touchedBeside !== undefined) {
      const count = program.touchedBeside(actor, this.#beside, this.#besideBefore);
      for (let i = 0; i < count; i++) {
        const access = this.#beside[i] as number;
        if (access >>> 4 !== this.#effect >>> 4) this.#touch(access, this.#besideBefore[i] as number);
      }
    }
    let changed = false;
    for (let i = 0; i < this.#observed.length; i++) {
      const value = words[this.#observed[i] as number] as number;
      changed ||= value !== this.#observedValues[i];
      this.#observedValues[i] = value;
    }
    if (changed) this.#touch((this.#observedWord << 4) | EFFECT_RMW, 0);
    if (!this.#tiered) return;
    const idle = this.#standing.isIdle(actor) || now === RETURNED || (now & 15) >= FIRST_IDLE;
    const tier = program.tierOf(actor);
    if (tier > 0 && idle) this.#touch((this.#finishWord << 4) | EFFECT_READ, 0);
    if (tier < TIERS - 1 && now === RETURNED) this.#touch((this.#finishWord << 4) | EFFECT_ADD, 0);
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
    const next = this.#next;
    for (let actor = 0; actor < this.trace.actors; actor++) {
      const effect = standing.effect(actor);
      if (effect === RETURNED || standing.isLocal(actor)) continue;
      const kind = effect & 15;
      next.actor = actor;
      next.accesses[0] = effect;
      next.before[0] = this.#valueOf(effect >>> 4);
      next.count = 1;
      next.guarded = standing.isGuarded(actor) && kind !== EFFECT_ACQUIRE && kind !== EFFECT_ACQUIRE_READ;
      next.guard = standing.guard(actor);
      next.guardMask = standing.guardMask(actor);
      this.trace.racesOf(next);
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

function longer<T extends Uint8Array | Int32Array>(array: T, old: T): T {
  array.set(old);
  return array;
}
