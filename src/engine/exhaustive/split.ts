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
 * A search that goes one way after the other leaves out of a branch what an earlier one has had (its sleep set). That rests on the earlier
 * one's being done, with all that it calls for: two that run side by side and each left it to the other would both miss it. So parts
 * leave out only what was done before they were made, and some executions are run in more than one part. All outcomes are
 * found, and `executions` counts every run.
 */
import type { OneThread } from '../one-thread.js';
import type { Program } from '../program.js';
import { type SearchCounts, addCounts, guaranteeOf, noCounts } from './counts.js';
import { type ExhaustiveOptions, ExhaustiveRun } from './driver.js';
import { type SavedNode, plain } from './nodes.js';
import type { OuterBranch, SavedSearch } from './saved.js';
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

export interface PartOptions extends Pick<ExhaustiveOptions, 'stepsMax' | 'observed' | 'onExecution'> {
  /** Executions after which the rest is handed back. */
  readonly executionsMax?: number;
  /** Milliseconds after which it is. */
  readonly ms?: number;
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

  run(part: SearchPart, { executionsMax = Infinity, ms = Infinity }: PartOptions = {}): PartResult {
    const { search, thread } = this.#run;
    const until = performance.now() + ms;
    search.restore({ ...part, counts: noCounts() });
    let steps = 0;
    for (let count = 1; search.begin(); count++) {
      const before = search.counts.executions;
      thread.run(search, 0);
      steps += thread.steps;
      if (search.counts.executions > before) this.#options.onExecution?.(thread, search.firsts);
      if (search.counts.executions >= executionsMax || ((count & 15) === 0 && performance.now() > until)) break;
    }
    return {
      counts: { ...search.counts },
      steps,
      outer: search.takeOuter(),
      rest: search.over ? null : search.save(),
    };
  }
}

/** A node that somebody may be told to try something at. */
interface Shared {
  readonly choices: Uint8Array;
  /** The nodes before it. */
  readonly before: readonly SavedNode[];
  readonly at: number;
  readonly step: number;
  /** What was done before anything was given away: it sleeps in parts from here. */
  readonly done: readonly Move[];
  /** That, and what has been given away or is under way: each finds all that begins with it. */
  readonly tried: Move[];
  readonly open: Branch[];
}

/** The search as a whole: who gives parts away and takes in what they come to. */
export class SharedSearch {
  readonly counts: SearchCounts = noCounts();
  steps = 0;
  readonly #nodes = new Map<string, Shared>();
  /** Parts given away and not reported. */
  #under = 0;

  /** Parts that can be taken now. */
  get open(): number {
    let open = 0;
    for (const node of this.#nodes.values()) open += node.open.length;
    return open;
  }

  get isDone(): boolean {
    return this.#under === 0 && this.open === 0;
  }

  /** Proved: all of it was run, to the ends. */
  get exhausted(): boolean {
    return this.isDone && this.counts.cut === 0 && this.counts.strayed === 0;
  }

  guarantee(): string {
    return guaranteeOf(this.counts, this.exhausted);
  }

  /** A part to be run, the one that begins first; null = none now. */
  take(): SearchPart | null {
    let first: Shared | null = null;
    for (const node of this.#nodes.values()) {
      if (node.open.length > 0 && (first === null || node.step < first.step)) first = node;
    }
    if (first === null) return null;
    const { choices, before, at, step, done, tried, open } = first;
    const branch = open.shift() as Branch;
    const here: SavedNode = { at, step, chosen: null, tried: done, open: [branch] };
    tried.push(plain(branch));
    this.#under++;
    return { choices, nodes: [...before, here], own: at + 1, over: false, counts: noCounts() };
  }

  /** What a part that was taken has come to. */
  report(part: SearchPart, result: PartResult): void {
    this.#under--;
    addCounts(this.counts, result.counts);
    this.steps += result.steps;
    for (const outer of result.outer) this.#addOuter(part, outer);
    if (result.rest !== null) this.add(result.rest);
  }

  /** Takes in a search that has been stopped: what is open in it can be taken. */
  add(search: SavedSearch): void {
    const { nodes, choices } = search;
    nodes.forEach((node, i) => {
      if (node.at < search.own) return;
      const shared = this.#node(choices.slice(0, node.step), node.at, nodes.slice(0, i), node.tried);
      if (node.chosen !== null) shared.tried.push(node.chosen);
      shared.open.push(...structuredClone([...node.open]));
    });
  }

  #addOuter(part: SearchPart, { at, step, chosen, sequence }: OuterBranch): void {
    const known = part.nodes.find((node) => node.at === at);
    const before = part.nodes.filter((node) => node.at < at);
    const key = keyOf(part.choices.subarray(0, step));
    const isNew = !this.#nodes.has(key);
    const node = this.#node(part.choices.slice(0, step), at, before, known?.tried ?? []);
    if (isNew) node.tried.push(chosen);
    if (node.tried.every((move) => initialOf(move, sequence) < 0)) insert(node.open, [...sequence]);
  }

  #node(choices: Uint8Array, at: number, before: readonly SavedNode[], done: readonly Move[]): Shared {
    const key = keyOf(choices);
    let node = this.#nodes.get(key);
    if (node === undefined) {
      const tried = before.map(({ at: each, step, chosen, tried: moves }): SavedNode => {
        return { at: each, step, chosen, tried: moves, open: [] };
      });
      node = { choices, before: tried, at, step: choices.length, done, tried: [...done], open: [] };
      this.#nodes.set(key, node);
    }
    return node;
  }
}

const keyOf = (choices: Uint8Array): string => String.fromCharCode(...choices);

/** Searches until there are `parts` parts to be taken, or nothing is left. The executions until then are counted. */
export function splitExhaustive(program: Program, parts: number, options: PartOptions = {}): SharedSearch {
  const shared = new SharedSearch();
  const run = new ExhaustiveRun(program, { ...options, executionsMax: undefined });
  const { search, thread } = run;
  while (search.begin()) {
    const before = search.counts.executions;
    thread.run(search, 0);
    shared.steps += thread.steps;
    if (search.counts.executions > before) options.onExecution?.(thread, search.firsts);
    if (!search.over && search.nodes.openCount() + 1 >= parts) break;
  }
  addCounts(shared.counts, search.counts);
  if (!search.over) shared.add(search.save());
  return shared;
}
