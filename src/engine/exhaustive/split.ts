/**
 * A search in parts, for threads: each part is a branch of a wake-up tree with all that comes of it, as plain data. Parts are not
 * independent of each other: a race within one can call for something to be tried at a node that lies before it. That is reported and
 * decided by the one who keeps those nodes:
 *
 *     const shared = splitExhaustive(program, 8);
 *     for (let part = shared.take(); part !== null; part = shared.take()) shared.report(part, searchPart(program, part));
 *
 * Parts taken and not reported yet may bring more to be tried: `take` may answer null before `isDone` is true.
 *
 * As in a search that goes one way after the other, a branch leaves out what those before it at its node have (its sleep set), whether
 * those are done or under way: no execution is run twice. What one of them then calls for that begins like a later branch must
 * not be lost, though that has begun: it goes into its wake-up tree. So the nodes on the way of a wake-up sequence are kept here
 * too, and only behind its end, where all is tried that can be, a part has nodes of its own.
 */
import type { OneThread } from '../one-thread/one-thread.js';
import type { Program } from '../one-thread/program.js';
import { type SearchCounts, addCounts, guaranteeOf, isExact, noCounts } from './counts.js';
import { type ExhaustiveOptions, ExhaustiveRun } from './driver.js';
import { type SavedNode, plain } from './nodes.js';
import type { OuterBranch, SavedSearch } from './saved.js';
import type { Search } from './search.js';
import { type Branch, type Move, initialOf, insert } from './wakeup-tree.js';

/** A part of a search: plain data. */
export type SearchPart = SavedSearch;

/** What a part has come to: plain data. */
export interface PartResult {
  readonly counts: SearchCounts;
  readonly steps: number;
  /** What is to be tried at nodes before it. */
  readonly outer: readonly OuterBranch[];
  /** What is left of it, when it was stopped; null = it is done. */
  readonly rest: SavedSearch | null;
}

interface PartOptions extends Pick<ExhaustiveOptions, 'stepsMax' | 'observed' | 'onExecution'> {
  /** Executions after which the rest is handed back. */
  readonly executionsMax?: number;
  /** Milliseconds after which it is. */
  readonly ms?: number;
  /** Asked now and then: whether it is at once. */
  readonly stop?: () => boolean;
}

/** Runs a part, or the first piece of it. */
export function searchPart(program: Program, part: SearchPart, options: PartOptions = {}): PartResult {
  return new PartRunner(program, options).run(part, options);
}

/** Runs parts of one program, one after the other: what is made for the program stays. */
export class PartRunner {
  readonly #run: ExhaustiveRun;
  readonly #options: PartOptions;

  constructor(program: Program, options: PartOptions = {}) {
    this.#options = options;
    this.#run = new ExhaustiveRun(program, { stepsMax: options.stepsMax, observed: options.observed });
  }

  get thread(): OneThread {
    return this.#run.thread;
  }

  get search(): Search {
    return this.#run.search;
  }

  run(part: SearchPart, { executionsMax = Infinity, ms = Infinity, stop }: PartOptions = {}): PartResult {
    const { search, thread } = this.#run;
    const until = performance.now() + ms;
    search.restore({ ...part, counts: noCounts() });
    let steps = 0;
    for (let count = 1; search.begin(); count++) {
      const before = search.counts.executions;
      thread.run(search, 0);
      this.#run.noteUndeclared();
      steps += thread.steps;
      if (search.counts.executions > before) this.#options.onExecution?.(thread, search.firsts);
      if (search.counts.executions >= executionsMax) break;
      if ((count & 15) === 0 && (performance.now() > until || stop?.() === true)) break;
    }
    return {
      counts: { ...search.counts },
      steps,
      outer: search.takeOuter(),
      rest: search.over ? null : search.save(),
    };
  }
}

/** What has been tried at a node, or is under way there. */
interface Tried {
  move: Move;
  /** The node behind it, where that is one of a wake-up sequence; null: a part has all that comes of it. */
  child: Shared | null;
}

/** A node that somebody may be told to try something at. */
interface Shared {
  readonly choices: Uint8Array;
  /** The nodes before it. */
  readonly before: readonly SavedNode[];
  readonly at: number;
  /** In order: each leaves to those before it what begins with them. */
  readonly tried: Tried[];
  readonly open: Branch[];
}

const triedOnce = (move: Move): Tried => ({ move: plain(move), child: null });

/** The search as a whole: who gives parts away and takes in what they come to. */
export class SharedSearch {
  readonly counts: SearchCounts = noCounts();
  steps = 0;
  readonly #runner: PartRunner;
  readonly #nodes = new Map<string, Shared>();
  /** Parts that were stopped, to be gone on with. */
  readonly #rests: SearchPart[] = [];
  /** Parts given away and not reported. */
  readonly #under = new Set<SearchPart>();

  /** @param program for the first execution of each part */
  constructor(program: Program, options: PartOptions = {}) {
    this.#runner = new PartRunner(program, options);
  }

  /** Parts that can be taken now, about. */
  get open(): number {
    let open = this.#rests.length;
    for (const node of this.#nodes.values()) open += node.open.length;
    return open;
  }

  get isDone(): boolean {
    return this.#under.size === 0 && this.open === 0;
  }

  /** Proved: all of it was run, to the ends. */
  get exhausted(): boolean {
    return this.isDone && isExact(this.counts);
  }

  guarantee(): string {
    return guaranteeOf(this.counts, this.exhausted);
  }

  /** Executions that are left, about: if the branches of a node are as large as one another. */
  get estimate(): number {
    let left = 0;
    for (const { nodes, own } of [...this.#rests, ...this.#under]) left += shareLeft(nodes, own);
    for (const { before, tried, open } of this.#nodes.values()) {
      if (open.length > 0) left += (weightOf(before) * open.length) / (tried.length + open.length);
    }
    return left >= 1 ? Infinity : (this.counts.executions * left) / (1 - left);
  }

  /** A part to be run, of those not begun the one that begins first; null = none now. */
  take(): SearchPart | null {
    for (;;) {
      const rest = this.#rests.shift() ?? this.#begun();
      if (rest === undefined) return null;
      if (rest === null) continue;
      this.#under.add(rest);
      return rest;
    }
  }

  /** What a part that was taken has come to. */
  report(part: SearchPart, { counts, steps, outer, rest }: PartResult): void {
    this.#under.delete(part);
    addCounts(this.counts, counts);
    this.steps += steps;
    for (const each of outer) this.#addOuter(part.choices, part.nodes, each);
    if (rest !== null) this.add(rest);
  }

  /** Takes in a search that has been stopped. */
  add(search: SavedSearch): void {
    this.#rests.push({ ...search, counts: noCounts() });
  }

  /** Makes parts of one that was stopped: what is open at its first node that has something. False: there is none, or nothing is. */
  split(): boolean {
    for (let i = 0; i < this.#rests.length; i++) {
      const { choices, nodes, own, over, counts } = this.#rests[i] as SearchPart;
      const index = nodes.findIndex(({ at, open }) => at >= own && open.length > 0);
      const node = nodes[index];
      // a branch of the last node is what it goes on with
      if (node === undefined || (node.chosen === null && node.open.length === 1)) continue;
      const shared = this.#node(choices.slice(0, node.step), node.at, nodes.slice(0, index), node.tried);
      shared.open.push(...structuredClone([...node.open]));
      if (node.chosen === null) this.#rests.splice(i, 1);
      else {
        shared.tried.push(triedOnce(node.chosen));
        const left = nodes.map((each, n) => (n === index ? Object.assign({}, each, { open: [] }) : each));
        this.#rests[i] = { choices, nodes: left, own: node.at + 1, over, counts };
      }
      return true;
    }
    return false;
  }

  /** The first execution of what is open first, and what is left of that part; null = nothing is; undefined: nothing is open. */
  #begun(): SearchPart | null | undefined {
    let first: Shared | undefined;
    for (const node of this.#nodes.values()) {
      if (node.open.length > 0 && (first === undefined || node.at < first.at)) first = node;
    }
    if (first === undefined) return undefined;
    const { choices, before, at, tried, open } = first;
    const branch = open.shift() as Branch;
    const moves = tried.map(({ move }) => move);
    const path = [...before, { at, step: choices.length, chosen: null, tried: moves, open: [] }];
    const nodes = path.map((node) => (node.at === at ? { ...node, open: [branch] } : node));
    const entry = triedOnce(branch);
    tried.push(entry);
    const way = lengthOf(branch);
    const { thread } = this.#runner;
    const part = { choices, nodes, own: at + way, over: false, counts: noCounts() };
    const result = this.#runner.run(part, { executionsMax: 1 });
    addCounts(this.counts, result.counts);
    this.steps += result.steps;
    this.#addWay(first, entry, way, path);
    const done = thread.choices.slice(0, thread.steps);
    for (const outer of result.outer) this.#addOuter(done, path, outer);
    return result.rest === null ? null : { ...result.rest, counts: noCounts() };
  }

  /** Keeps the nodes on the way of a wake-up sequence that has just been followed, with what else is to be tried there. */
  #addWay(from: Shared, entry: Tried, length: number, path: readonly SavedNode[]): void {
    const { search, thread } = this.#runner;
    const { trace, nodes } = search;
    let node = from;
    let tried = entry;
    for (let at = from.at, i = 0; i < length && at < trace.length; i++, at++) {
      tried.move = plain(nodes.move(at));
      node.open.push(...nodes.open(at).splice(0));
      if (i + 1 === length || at + 1 >= trace.length) return;
      const choices = thread.choices.slice(0, search.stepOf(at + 1));
      const next = triedOnce(nodes.move(at + 1));
      node = { choices, before: path, at: at + 1, tried: [next], open: [] };
      this.#nodes.set(keyOf(choices), node);
      tried.child = node;
      tried = next;
    }
  }

  /** Something is to be tried at a node before those of the part that `choices` lead into. */
  #addOuter(choices: Uint8Array, nodes: readonly SavedNode[], { at, step, chosen, sequence }: OuterBranch): void {
    const prefix = choices.slice(0, step);
    const known = this.#nodes.get(keyOf(prefix)) ?? this.#newNode(prefix, at, nodes, chosen);
    // what those before it have, it has looked at itself
    let from = 1 + known.tried.findIndex(({ move }) => isSame(move, chosen));
    const rest = [...sequence];
    for (let node = known; ;) {
      const later: Tried | undefined = node.tried.slice(from).find(({ move }) => initialOf(move, rest) >= 0);
      if (later === undefined) {
        insert(node.open, rest);
        return;
      }
      const place = initialOf(later.move, rest);
      if (place < rest.length) rest.splice(place, 1);
      if (later.child === null || rest.length === 0) return;
      node = later.child;
      from = 0;
    }
  }

  /** A node that a part has gone on from by `chosen`. */
  #newNode(choices: Uint8Array, at: number, nodes: readonly SavedNode[], chosen: Move): Shared {
    const done = nodes.find((each) => each.at === at)?.tried ?? [];
    const before = nodes.filter((each) => each.at < at);
    const node = this.#node(choices, at, before, done);
    node.tried.push(triedOnce(chosen));
    return node;
  }

  #node(choices: Uint8Array, at: number, before: readonly SavedNode[], done: readonly Move[]): Shared {
    const key = keyOf(choices);
    let node = this.#nodes.get(key);
    if (node === undefined) {
      const path = before.map((each): SavedNode => Object.assign({}, each, { open: [] }));
      node = { choices, before: path, at, tried: done.map(triedOnce), open: [] };
      this.#nodes.set(key, node);
    }
    return node;
  }
}

/** Of a branch, and always the first that follows: a wake-up sequence. */
function lengthOf(branch: Branch): number {
  let length = 1;
  for (let next = branch.next[0]; next !== undefined; next = next.next[0]) length++;
  return length;
}

/** Branches known at a node. */
const known = ({ tried, chosen, open }: SavedNode): number => tried.length + open.length + (chosen === null ? 0 : 1);

/** The share of the search that lies behind the nodes of a way. */
const weightOf = (way: readonly SavedNode[]): number =>
  way.reduce((weight, { tried }) => weight / (tried.length + 1), 1);

/** The share of it that is left of a part. */
function shareLeft(nodes: readonly SavedNode[], own: number): number {
  let weight = 1;
  let left = 0;
  for (const node of nodes) {
    if (node.at >= own) left += (weight * node.open.length) / known(node);
    weight /= node.at >= own ? known(node) : node.tried.length + 1;
  }
  return left;
}

const isSame = (one: Move, other: Move): boolean =>
  one.actor === other.actor && one.accesses.every((access, i) => access === other.accesses[i]);

const keyOf = (choices: Uint8Array): string => String.fromCharCode(...choices);

/** Searches until there are `parts` parts to be taken, or nothing is left. The executions until then are counted. */
export function splitExhaustive(program: Program, parts: number, options: PartOptions = {}): SharedSearch {
  const shared = new SharedSearch(program, options);
  const run = new ExhaustiveRun(program, { ...options, executionsMax: undefined });
  const { search, thread } = run;
  while (search.begin()) {
    const before = search.counts.executions;
    thread.run(search, 0);
    run.noteUndeclared();
    shared.steps += thread.steps;
    if (search.counts.executions > before) options.onExecution?.(thread, search.firsts);
    if (!search.over && search.nodes.openCount() + 1 >= parts) break;
  }
  addCounts(shared.counts, search.counts);
  if (!search.over) shared.add(search.save());
  while (shared.open < parts && shared.split());
  return shared;
}
