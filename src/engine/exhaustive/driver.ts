/**
 * Runs a search over a program from one execution to the next: by itself in slices, or as a whole.
 */
import { OneThread } from '../one-thread/one-thread.js';
import type { Program } from '../one-thread/program.js';
import type { FirstBreach } from './breaches.js';
import type { SearchCounts } from './counts.js';
import { Search } from './search.js';

export interface ExhaustiveOptions {
  /** An execution of so many steps ends there, and the search is not exhaustive. */
  readonly stepsMax?: number | undefined;
  readonly executionsMax?: number | undefined;
  /** Words of which every state on the way counts (see Search); absent: the program's own. */
  readonly observed?: readonly number[] | undefined;
  /**
   * After each execution: how it ended (`thread.end`, `steps`, `choices`, `outcome`, `breaches`), and which of the rules that it
   * broke on its way could be the first.
   */
  readonly onExecution?: ((thread: OneThread, firsts: readonly FirstBreach[]) => void) | undefined;
  /** Asked some times a second: a reason to stop. */
  readonly stop?: () => boolean;
}

export interface ExhaustiveResult extends SearchCounts {
  /** Proved: every execution that differs from the others was run to its end. */
  readonly exhaustive: boolean;
  readonly steps: number;
  /** Executions left, about. */
  readonly estimate: number;
  /** `exhausted`, `over` (all that could be, see `cut` and `strayed`), `done` (executionsMax) or `interrupted`. */
  readonly end: string;
}

const STEPS_MAX = 20_000;
const SLICE_MS = 50;
/** First executions that may bring new undeclared accesses. */
const RESTARTS_MAX = 8;

/** A search under way. */
export class ExhaustiveRun {
  search: Search;
  readonly thread: OneThread;
  steps = 0;
  readonly #options: ExhaustiveOptions;
  readonly #program: Program;
  /** Of the thread's undeclared accesses, so many are counted. */
  #noted = 0;
  #restarts = 0;

  /** @throws RangeError when the program has more than 31 actors */
  constructor(program: Program, options: ExhaustiveOptions = {}) {
    this.#options = options;
    this.#program = program;
    this.search = new Search(program, { observed: options.observed ?? program.observed });
    this.thread = new OneThread(program, options.stepsMax ?? STEPS_MAX);
    this.thread.goesOn = true;
    if (program.order !== undefined) program.order.keeps = true;
  }

  /** Runs executions until `until` (of performance.now()). Returns why it is over, or '' when it is not. */
  slice(until: number): string {
    const { thread } = this;
    const { executionsMax = Infinity, onExecution } = this.#options;
    for (let count = 1; ; count++) {
      const { search } = this;
      if (!search.begin()) return search.exhausted ? 'exhausted' : 'over';
      if (search.counts.executions >= executionsMax) return 'done';
      const executions = search.counts.executions;
      thread.run(search, 0);
      this.steps += thread.steps;
      if (this.noteUndeclared() && this.#beginsAgain()) continue;
      if (search.counts.executions > executions) onExecution?.(thread, search.firsts);
      if ((count & 63) === 0 && performance.now() > until) return '';
    }
  }

  /** Counts what the execution that has just run has accessed without order, if nobody has before. Says whether there was something. */
  noteUndeclared(): boolean {
    const undeclared = this.thread.undeclared.list;
    if (undeclared.length === this.#noted) return false;
    const { counts } = this.search;
    counts.undeclared += undeclared.length - this.#noted;
    if (counts.unordered === '') counts.unordered = undeclared[this.#noted]?.breach.what ?? '';
    this.#noted = undeclared.length;
    return true;
  }

  /**
   * The words of undeclared accesses are touched beside from now on, so they race. As long as the first execution finds more of
   * them, the search begins again: it may find what comes of them, though it proves nothing any more.
   */
  #beginsAgain(): boolean {
    const { counts } = this.search;
    if (counts.executions > 1 || this.#restarts === RESTARTS_MAX) return false;
    this.#restarts++;
    const { undeclared, unordered } = counts;
    this.search = new Search(this.#program, { observed: this.#options.observed ?? this.#program.observed });
    Object.assign(this.search.counts, { undeclared, unordered });
    return true;
  }

  result(end: string): ExhaustiveResult {
    const { search, steps } = this;
    return { ...search.counts, exhaustive: search.exhausted, steps, estimate: search.estimate, end };
  }
}

/** Searches without a pause, for small programs. */
export function searchWhole(program: Program, options: ExhaustiveOptions = {}): ExhaustiveResult {
  const run = new ExhaustiveRun(program, options);
  let end = '';
  while (end === '') {
    end = run.slice(performance.now() + SLICE_MS);
    if (end === '' && options.stop?.() === true) end = 'interrupted';
  }
  return run.result(end);
}

/** Searches, and gives way to the event loop some times a second. */
export async function searchExhaustively(program: Program, options: ExhaustiveOptions = {}): Promise<ExhaustiveResult> {
  const run = new ExhaustiveRun(program, options);
  return (await goOn(run, options.stop)) ?? run.result('interrupted');
}

/** Goes on with a search to its end; null = it has been stopped before. */
export async function goOn(run: ExhaustiveRun, stop?: () => boolean): Promise<ExhaustiveResult | null> {
  for (;;) {
    const end = run.slice(performance.now() + SLICE_MS);
    if (end !== '') return run.result(end);
    await new Promise((resolve) => void setImmediate(resolve));
    if (stop?.() === true) return null;
  }
}
