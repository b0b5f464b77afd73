/** What the executions of an exhaustive search have come to: outcomes, and the first schedule that breaks each rule. */
import type { Verdict } from '../../engine/campaign/range.js';
import { isBroken } from '../../engine/campaign/runner.js';
import type { FirstBreach } from '../../engine/exhaustive/breaches.js';
import {
  END_DRAINED,
  END_FINISHED,
  END_STEP_LIMIT,
  END_VIOLATION,
  type OneThread,
} from '../../engine/one-thread/one-thread.js';
import { type Outcome, endText, outcomeText } from '../../engine/one-thread/outcome.js';
import type { UndeclaredAt } from '../../engine/campaign/range.js';
import { classify } from './classify.js';
import { noteUndeclared } from '../tell/undeclared.js';

/** The strategy's name, which is none of STRATEGIES: it has an end of its own. */
export const EXHAUSTIVE = 'exhaustive';

/** A schedule that is told. */
interface Example {
  /** How it ends, and what number it has. */
  readonly end: string;
  readonly first: number;
  readonly choices: Uint8Array;
}

export interface Seen extends Example {
  readonly outcome: Outcome;
  /** That in words. */
  readonly state: string;
  readonly verdict: Verdict;
  readonly count: number;
}

/** The first schedule that breaks a rule; what the rule is called, and what tells it from others. */
export interface Find extends Example {
  readonly invariant: string;
  readonly kind: string;
}

/** What a part of the search has found: plain data. */
export interface FoundPart {
  readonly rows: readonly Seen[];
  readonly finds: readonly Find[];
  readonly executions: number;
  readonly violations: number;
  readonly undeclared: readonly UndeclaredAt[];
}

export class Found {
  /** By state. */
  readonly rows = new Map<string, Seen>();
  /** By kind. */
  readonly finds = new Map<string, Find>();
  /** By text: accesses that nothing orders. */
  readonly undeclared = new Map<string, UndeclaredAt>();
  executions = 0;
  violations = 0;
  /** By 2, 4, 8, ... executions, how many outcomes there were. */
  readonly #curve: number[] = [];

  /** An execution; `firsts` are the rules that it breaks on its way before others. */
  add(thread: OneThread, firsts: readonly FirstBreach[]): void {
    const number = this.executions++;
    noteUndeclared(this.undeclared, thread.undeclared.list, number, EXHAUSTIVE);
    const isFind = isBroken(thread.end);
    const outcome = outcomeOf(thread, firsts);
    const state = outcomeText(outcome);
    const row = this.rows.get(state);
    this.rows.set(
      state,
      row === undefined ? seenOf(thread, outcome, state, number, isFind) : { ...row, count: row.count + 1 },
    );
    this.#note();
    if (!isFind) return;
    this.violations++;
    if (firsts.length === 0) this.#find(thread, 0, number, thread.choices.slice(0, thread.steps));
    for (const { index, choices } of firsts) this.#find(thread, index, number, choices);
  }

  /** What another thread has found; its executions come behind those known. */
  merge({ rows, finds, executions, violations, undeclared }: FoundPart): void {
    const before = this.executions;
    for (const row of rows) {
      const known = this.rows.get(row.state);
      const first = before + row.first;
      this.rows.set(row.state, known === undefined ? { ...row, first } : { ...known, count: known.count + row.count });
    }
    for (const find of finds) {
      if (!this.finds.has(find.kind)) this.finds.set(find.kind, { ...find, first: before + find.first });
    }
    for (const each of undeclared) {
      noteUndeclared(this.undeclared, [each], before + each.first, each.by);
    }
    this.executions += executions;
    this.violations += violations;
    this.#note();
  }

  toPart(): FoundPart {
    const { rows, finds, executions, violations } = this;
    const undeclared = [...this.undeclared.values()];
    return { rows: [...rows.values()], finds: [...finds.values()], executions, violations, undeclared };
  }

  /** Outcomes not seen before, per thousand executions of the last half or so. */
  get newPerThousand(): number {
    const half = Math.max(0, Math.floor(Math.log2(Math.max(1, this.executions))) - 1);
    const before = this.#curve[half] ?? 0;
    return (1000 * (this.rows.size - before)) / Math.max(1, this.executions - 2 ** half);
  }

  #note(): void {
    while (this.executions >= 2 ** this.#curve.length) this.#curve.push(this.rows.size);
  }

  #find(thread: OneThread, index: number, first: number, choices: Uint8Array): void {
    const { invariant, kind } = classify(thread, index);
    if (this.finds.has(kind)) return;
    const breach = thread.breaches[index];
    const end = breach === undefined ? thread.endText : endText(END_VIOLATION, [breach]);
    this.finds.set(kind, { invariant, kind, end, first, choices });
  }
}

function seenOf(thread: OneThread, outcome: Outcome, state: string, first: number, isFind: boolean): Seen {
  const cut = thread.end === END_STEP_LIMIT || thread.end === END_DRAINED;
  const verdict = isFind ? 'forbidden' : cut ? 'cut' : 'allowed';
  const end = thread.outcomeText;
  return { outcome, state, verdict, end, first, choices: thread.choices.slice(0, thread.steps), count: 1 };
}

/** The outcome, with all rules that a schedule of this execution may break first. */
function outcomeOf(thread: OneThread, firsts: readonly FirstBreach[]): Outcome {
  const { outcome } = thread;
  if (firsts.length < 2) return outcome;
  const broken = new Set(firsts.map(({ index }) => thread.breaches[index]?.invariant ?? ''));
  const after = outcome.isAnswer ? END_FINISHED : outcome.after;
  return { ...outcome, broken: [...broken].toSorted(), isAnswer: false, after };
}
