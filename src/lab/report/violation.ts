/**
 * A violation as reports carry it. Whatever has found it (a run on real threads, a campaign, a search, a replay, a litmus test), its row is
 * made here, of the oracle's {@link Violation}: names instead of numbers for actors and locks. Whoever needs the numbers takes the
 * oracle's.
 */
import { describeWord } from '../../machine/layout/describe.js';
import type { Machine } from '../../machine/layout.js';
import type { Violation } from '../../oracle/violation.js';
import type { Clash } from './clash-row.js';
import type { Handover } from './handover-row.js';

/** What a violation came of, and what was made of it: all that its finder knows beside the oracle. */
export interface ViolationFinding {
  /** Of the campaign or the schedule. */
  readonly seed?: number;
  readonly found_in_schedule?: number;
  /** The strategy, of a portfolio its member. */
  readonly found_by?: string;
  /** Of the schedule. */
  readonly steps?: number;
  /** What else there is to say: who waits for what, or what goes round. */
  readonly details?: readonly string[];
  /** A schedule file: what `replay` takes. */
  readonly schedule?: string;
  /** The two steps that it comes down to; null where none were found. */
  readonly clash?: Clash | null;
  /** Of real threads: of the first few of the same words. */
  readonly diagram?: string;
  /** Of real threads: seconds since the first step as it was told. */
  readonly at_s?: number;
  /** On real threads: what became of it on one. */
  readonly handover?: Handover;
}

/** Pages are numbers of 4 KiB pages; only what is known is there. */
export interface ReportViolation extends ViolationFinding {
  /** I-STALE, LK1, ...; `deadlock`, `exception`, `mismatch`, `determinism`, `undeclared`; the word of a litmus file's question. */
  readonly invariant: string;
  readonly what: string;
  /** Who was found breaking it; null: nobody in particular, as in an audit. */
  readonly actor: string | null;
  /** All actors that have to do with it. */
  readonly actors: readonly string[];
  /** Event time: Lamport time, or the step number of a one-thread run; 0: not known, as in an audit. */
  readonly time: number;
  /** Locks that `actor` held, in the order taken. */
  readonly held: readonly string[];
  /** The lock in question. */
  readonly lock?: string;
  /** A second actor that has to do with it. */
  readonly other?: string;
  readonly pfn?: number;
  readonly vm?: number;
  readonly gfn?: number;
  readonly mm?: number;
  readonly vpn?: number;
  readonly expected?: string;
  readonly received?: string;
  /** It is the answer to a litmus file's question about final states. */
  readonly answer?: true;
  /** What real kernels are known to do as well: a known window, no fault of this one. */
  readonly known?: true;
}

/** Who gives the names; a one-thread program does. */
export interface ViolationNames {
  /** By actor number. */
  readonly actors: readonly string[];
  /** What a word is. */
  readonly describe: (word: number) => string;
}

/** The names of a machine's run on real threads. */
export const namesOn = (m: Machine, actors: readonly string[]): ViolationNames => ({
  actors,
  describe: (word) => describeWord(m, word),
});

/** Copied as they are. */
const AS_IT_IS = ['pfn', 'vm', 'gfn', 'mm', 'vpn', 'expected', 'received', 'answer', 'known'] as const;

/** The row of a violation, with what its finder knows. */
export function violationRow<Finding extends ViolationFinding>(
  violation: Violation,
  names: ViolationNames,
  finding: Finding,
): ReportViolation & Finding {
  const { invariant, what, actor = -1, actors = [], time = 0, held = [], lock, other = -1 } = violation;
  const nameOf = (who: number): string => names.actors[who] ?? `actor ${who}`;
  const subject: Partial<ReportViolation> = Object.fromEntries(
    AS_IT_IS.flatMap((key) => (violation[key] === undefined ? [] : [[key, violation[key]]])),
  );
  return {
    invariant,
    what,
    actor: actor < 0 ? null : nameOf(actor),
    actors: actors.map(nameOf),
    time,
    held: held.map((each) => names.describe(each.lock)),
    ...(lock !== undefined && { lock: names.describe(lock) }),
    ...(other >= 0 && { other: nameOf(other) }),
    ...subject,
    ...finding,
  };
}
