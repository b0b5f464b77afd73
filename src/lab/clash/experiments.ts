/** Runs of a failing schedule as it was but for one thing, and what comes of them. What they cost is counted, and bounded. */
import { effectWord } from '../../machine/effects.js';
import { entryPfn } from '../../machine/entries.js';
import {
  END_DEADLOCK,
  END_FINISHED,
  END_MISMATCH,
  END_VIOLATION,
  type OneThread,
  type StepObserver,
} from '../../engine/one-thread/one-thread.js';
import type { Violation } from '../../oracle/violation.js';
import { HappensBefore } from '../../engine/one-thread/races.js';
import { ExactScript, GuidedScript } from '../../engine/strategies/script.js';
import type { ScheduleView } from '../../engine/strategies/strategy.js';
import { type RunTrace, traceRun } from './run-trace.js';
import { Turner } from './turned.js';

/** What a run comes to: the same rule breaks, it ends well, or something else happens. */
type Result = 'fails' | 'well' | 'other';

/** A wish that ends, well, at some step: what comes long after the rule was broken has nothing to do with it. */
class Bounded extends GuidedScript {
  horizon = Infinity;

  override pick(view: ScheduleView): number {
    return view.step >= this.horizon ? -1 : super.pick(view);
  }
}

/** What rule a breach is of, and which page it is about. */
function subjectText(breach: OneThread['breaches'][number]): string {
  const { mm, vm, vpn, gfn, pfn } = breach as Partial<Record<'mm' | 'vm' | 'vpn' | 'gfn' | 'pfn', number>>;
  return `${breach.invariant} ${[mm, vm, vpn, gfn, pfn].map(String).join(' ')}`;
}

/** Steps beyond the failing schedule's own that a run gets to break the rule all the same. */
const BEYOND = 120;

export class Experiments {
  readonly thread: OneThread;
  readonly variation: number;
  /** The failing schedule. */
  readonly trace: RunTrace;
  readonly turner: Turner;
  /** `violation I-STALE`; an empty breach: a deadlock. */
  readonly end: string;
  readonly breaches: OneThread['breaches'];
  /** Of a deadlock: the words that are waited for. */
  readonly waited: ReadonlySet<number>;
  /** Steps that are left to be run. */
  budget: number;
  readonly #script = new Bounded();

  constructor(thread: OneThread, variation: number, choices: Uint8Array, budget: number) {
    this.thread = thread;
    this.variation = variation;
    this.budget = budget;
    const script = new ExactScript().load(choices, choices.length);
    script.begin();
    this.trace = traceRun(thread, script, variation);
    this.end = thread.endText;
    this.breaches = thread.breaches.slice();
    // what is found broken in the end is so only there, and so are deadlocks
    const { time = 0 } = this.breaches[0] ?? {};
    if (time > 0 && this.breaches[0]?.invariant !== 'I-LIVE') {
      this.#script.horizon = choices.length + BEYOND + (choices.length >> 2);
    }
    this.waited = new Set(thread.end === END_DEADLOCK ? thread.waiting().map(({ word }) => word) : []);
    this.turner = new Turner(this.trace, new HappensBefore(this.trace, thread.program.actors.length));
  }

  /** Whether the schedule that `thread` has just run breaks the same rule, by the same actor. */
  isSame(): boolean {
    const { thread } = this;
    return thread.endText === this.end && thread.breaches[0]?.actor === this.breaches[0]?.actor;
  }

  /** Whether a word is about the page that the rule was broken for: by its place in an address space or a guest, or as a frame. */
  isAbout(word: number, of: readonly ('pfn' | 'gfn' | 'vpn')[] = ['pfn', 'gfn', 'vpn']): boolean {
    const subject = (this.breaches[0] ?? {}) as Partial<Violation>;
    // most guests begin at page 0 of their process: the same number names both
    const page = { ...subject, vpn: subject.vpn ?? subject.gfn };
    const name = this.thread.program.describe(word);
    return of.some((each) => {
      const value = page[each];
      return value !== undefined && name.includes(`${each} 0x${value.toString(16)}`);
    });
  }

  /** As {@link isAbout}; an entry of a page table is about the page that it maps, too. */
  isStepAbout(step: number): boolean {
    const { effects, before, after } = this.trace;
    const word = effectWord(effects[step] as number);
    // that a page table is there at all is seldom the point
    if (this.thread.program.describe(word).startsWith('PMD')) return false;
    if (this.isAbout(word)) return true;
    const { pfn } = (this.breaches[0] ?? {}) as Partial<Violation>;
    if (pfn === undefined || pfn < 0 || !this.thread.program.describe(word).startsWith('PTE')) return false;
    return [before[step], after[step]].some((entry) => entry !== undefined && entry !== 0 && entryPfn(entry) === pfn);
  }

  /** What the schedule that `thread` has just run came to. */
  result(): Result {
    const { thread } = this;
    if (thread.endText === this.end) return 'fails';
    const over = thread.end === END_FINISHED || (thread.end === END_MISMATCH && thread.steps >= this.#script.horizon);
    return over && thread.breaches.length === 0 ? 'well' : 'other';
  }

  /** Whether that schedule went on beyond where the rule was broken, and did not break it there: for another page, or as another rule, it may have. */
  isAvoided(): boolean {
    const { thread } = this;
    const over = thread.end === END_FINISHED || thread.end === END_VIOLATION;
    if (!over || thread.steps < this.trace.actors.length) return this.result() === 'well';
    const broken = new Set(this.breaches.map((breach) => subjectText(breach)));
    return !thread.breaches.some((breach) => broken.has(subjectText(breach)));
  }

  try(wish: Uint8Array): Result {
    this.#script.load(wish, wish.length).begin();
    this.thread.run(this.#script, this.variation);
    this.budget -= this.thread.steps + 1;
    return this.result();
  }

  /** As {@link try}, step by step. */
  traced(wish: Uint8Array): RunTrace {
    this.#script.load(wish, wish.length).begin();
    const trace = traceRun(this.thread, this.#script, this.variation);
    this.budget -= 3 * this.thread.steps + 1;
    return trace;
  }

  /**
   * The schedule as it was, but that step `at` finds `value` in its word, which is put back after it.
   * @param stays what the step leaves there is not put back: it finds its word as it was, and leaves `value` in it
   */
  withValue(at: number, value: number, stays = false): RunTrace {
    const { thread } = this;
    const word = effectWord(this.trace.effects[at] as number);
    const { words } = thread.program;
    const { choices } = this.trace;
    let was = 0;
    const poke: StepObserver = {
      beforeStep(_actor, _effect, step) {
        if (step !== at + 1 || stays) return;
        was = words[word] as number;
        words[word] = value;
      },
      afterStep(_actor, _effect, step) {
        if (step === at + 1) words[word] = stays ? value : was;
      },
    };
    this.#script.load(choices, choices.length).begin();
    const trace = traceRun(thread, this.#script, this.variation, poke);
    this.budget -= 3 * thread.steps + 1;
    return trace;
  }
}
