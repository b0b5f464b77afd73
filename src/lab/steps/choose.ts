/**
 * Which steps of a schedule a diagram shows beside its events. The events tell what happened to a page; what decided it is a look
 * that found nothing, a check that passed, a sequence that was equal. Those are steps, and the steps themselves say which of them
 * mattered:
 *
 *   stores    of the pages in question that others can see: entries, contents, owners, pins;
 *   looks     at how often they are mapped, referenced or pinned;
 *   reads     that another actor made wrong while their reader went on: the last one before the change;
 *   reads     of what another actor was in the middle of: the first one after the change;
 *   reads     that look again after another's change: a check that passed, or did not;
 *   and the changes that such reads are about, also of words that belong to no page (a sequence count, a flush that is pending).
 */
import type { WordKind } from '../../engine/machine/word-kind.js';
import { GUP_PIN_COUNTING_BIAS } from '../../machine/abi.js';
import { PTE_DIRTY, PTE_YOUNG, S2_LOCKED, S2_VALID, isS2Table, isTable as isPageTable } from '../../machine/entries.js';
import { type Step, isRead, isStore } from './recorder.js';
import { type Whose, served } from './served.js';
import { DECIDING_FLAGS } from './values.js';

/** Why a step is shown. */
export interface Chosen {
  readonly step: Step;
  /** Kept before others where there is no room: 1 for what decided, 2 for the rest. */
  readonly rank: 1 | 2;
  /** What events may tell instead of it: only stores. */
  readonly store: boolean;
}

const SHARED: ReadonlySet<WordKind> = new Set([
  'seq',
  'inProgress',
  'activeCount',
  'writeProtectSeq',
  'flushPending',
  'flushBatched',
  'memslots',
  'mmFlags',
  'vmState',
  'memcache',
  'subscriptions',
  'swapMap',
  'swapCache',
  'swapContent',
]);
const OF_PAGES: ReadonlySet<WordKind> = new Set([
  'pte',
  'pmd',
  's2',
  'refs',
  'pincount',
  'flags',
  'content',
  'mapping',
  'hyp',
  'hostS2',
  'objectPage',
]);
/** Stores of these are shown for themselves. */
const TOLD_STORES: ReadonlySet<WordKind> = new Set([
  'pte',
  'pmd',
  's2',
  'content',
  'refs',
  'pincount',
  'hostS2',
  'objectPage',
]);

const COUNTS: ReadonlySet<WordKind> = new Set(['refs', 'pincount', 'maps']);

/** What a change of a word means to others: its bits that decide something. */
function meaning(kind: WordKind, value: number): number {
  switch (kind) {
    case 'flags':
      return value & DECIDING_FLAGS;
    case 'refs':
      return Math.floor((value >>> 0) / GUP_PIN_COUNTING_BIAS);
    case 'pte':
    case 'pmd':
      return value & ~(PTE_YOUNG | PTE_DIRTY);
    default:
      return value;
  }
}

/** Whether the step changes what its word means. CPUs set an entry's dirty bit; who clears it has something in mind. */
function changes(step: Step): boolean {
  const { of, before, after } = step;
  if (of === null || !isStore(step)) return false;
  const isCleaned = (of.kind === 'pte' || of.kind === 'pmd') && (before & ~after & PTE_DIRTY) !== 0;
  return isCleaned || meaning(of.kind, before) !== meaning(of.kind, after);
}

/** That a table is there, or soon will be, says nothing of a page yet. */
const isTable = (kind: WordKind, value: number): boolean =>
  kind === 'pmd'
    ? isPageTable(value)
    : kind === 's2' && (isS2Table(value) || ((value & S2_LOCKED) !== 0 && (value & S2_VALID) === 0));

/** The operation that a step is part of: the outermost call inside its actor's loop. */
const operationOf = ({ calls, actor }: Step): unknown => calls[1] ?? actor;

/** A read that decided, and the change that it is about. */
interface Decision {
  readonly read: Step;
  readonly change: Step;
}

/**
 * Chooses.
 * @param isFocus whether the step's word is of the pages that the diagram is about
 */
export function chooseSteps(steps: readonly Step[], isFocus: (step: Step) => boolean): Chosen[] {
  const chosen = new Map<number, Chosen>();
  const add = (step: Step, rank: 1 | 2): void => {
    const known = chosen.get(step.time);
    if (known !== undefined && known.rank <= rank) return;
    chosen.set(step.time, { step, rank, store: isStore(step) });
  };
  const ends = new Map<unknown, number>();
  for (const step of steps) ends.set(operationOf(step), step.time);
  const whose = served(steps);
  const decided = byWord(steps, isFocus).flatMap((words) => decisions(words, ends, whose));
  for (const { read, change } of withoutTables(decided)) {
    add(read, 1);
    add(change, 1);
  }
  for (const step of steps) {
    const { of } = step;
    if (of === null || !isFocus(step)) continue;
    if (step.stale) add(step, 1);

    if (TOLD_STORES.has(of.kind) && changes(step) && !isTable(of.kind, step.after)) add(step, 2);
  }
  for (const step of looks(steps, isFocus)) add(step, 2);
  return [...chosen.values()].toSorted((x, y) => x.step.time - y.step.time);
}

/**
 * A page's counts are looked at for a decision, and for nothing else. Who looks at its references (or pins) decides by them; how often it
 * is mapped only goes into what is expected of them.
 */
function looks(steps: readonly Step[], isFocus: (step: Step) => boolean): Step[] {
  const all = steps.filter((step) => step.of !== null && COUNTS.has(step.of.kind) && isRead(step) && isFocus(step));
  const byReferences = new Set(all.filter(({ of }) => of?.kind !== 'maps').map(operationOf));
  return all.filter((step) => step.of?.kind !== 'maps' || !byReferences.has(operationOf(step)));
}

/** The steps on each word that matters, in order. */
function byWord(steps: readonly Step[], isFocus: (step: Step) => boolean): (readonly Step[])[] {
  const words = new Map<number, Step[]>();
  for (const step of steps) {
    if (step.of === null || step.word === 0) continue;
    if (!SHARED.has(step.of.kind) && !(OF_PAGES.has(step.of.kind) && isFocus(step))) continue;
    const known = words.get(step.word);
    if (known === undefined) words.set(step.word, [step]);
    else known.push(step);
  }
  return [...words.values()];
}

/** Reads of one word that another actor made wrong, or that saw what another was in the middle of. */
function decisions(steps: readonly Step[], ends: ReadonlyMap<unknown, number>, whose: Whose): Decision[] {
  const goesOn = (step: Step, time: number): boolean => (ends.get(operationOf(step)) ?? 0) > time;
  const found: Decision[] = [];
  let last: Step | null = null;
  /** By actor: its last read since the last change. */
  let since = new Map<number, Step>();
  /** By actor: its last read. */
  const reads = new Map<number, Step>();
  for (const step of steps) {
    const who = whose(step);
    if (changes(step)) {
      for (const [reader, read] of since)
        if (reader !== who && goesOn(read, step.time)) found.push({ read, change: step });
      since = new Map();
      last = step;
      continue;
    }
    if (!isRead(step)) continue;
    const isFirst = !since.has(who);
    since.set(who, step);
    const before = reads.get(who);
    reads.set(who, step);
    if (last === null || !isFirst || whose(last) === who) continue;
    const again = before !== undefined && operationOf(before) === operationOf(step) && before.time < last.time;
    // flags of a process have many readers, each after bits of its own
    const inTheMiddle = goesOn(last, step.time) && step.of?.kind !== 'mmFlags';
    if (again || inTheMiddle) found.push({ read: step, change: last });
  }
  return found;
}

const isTableRead = ({ of, after }: Step): boolean => of !== null && isTable(of.kind, after);

/** Of a walk down the tables, the look at the entry says all where the table above changes too. */
function withoutTables(decided: readonly Decision[]): Decision[] {
  const entries = new Set(
    decided
      .filter(({ read: { of } }) => of?.kind === 'pte' || (of?.kind === 's2' && of.pages === 1))
      .map(({ read, change }) => `${read.actor} ${change.actor}`),
  );
  return decided.filter(({ read, change }) => !isTableRead(read) || !entries.has(`${read.actor} ${change.actor}`));
}
