/**
 * A broken rule, as data: the one form of it from the oracle, across threads by structured clone, to the diagram and the report, which
 * puts names for its numbers (lab/report/violation.ts). A log keeps the first ones and counts the rest, so that a kernel that breaks a
 * rule at every step cannot fill the memory.
 */
import type { Context } from '../machine/context.js';
import { heldLock, heldPacked } from './view.js';

/** A lock that the actor held when it broke the rule: its word, class (locks/classes.ts) and mode (LOCK_READ, LOCK_WRITE). */
export interface HeldRecord {
  readonly lock: number;
  readonly lockClass: number;
  readonly mode: number;
}

/** What a violation is about; only what is known is there. Pages are numbers of 4 KiB pages. */
export interface ViolationSubject {
  readonly pfn?: number;
  readonly vm?: number;
  readonly gfn?: number;
  readonly mm?: number;
  readonly vpn?: number;
  /** The word of the lock in question. */
  readonly lock?: number;
  /** A second actor that has to do with it. */
  readonly other?: number;
  readonly expected?: string;
  readonly received?: string;
}

/** What oracles say of one is all there; other programs, and ends such as a deadlock, know less. */
export interface Violation extends ViolationSubject {
  /** I-REF and so on: a row of INVARIANTS (table.ts); a rule of a program's own; or `deadlock`, `exception` for those ends. */
  readonly invariant: string;
  /** Five words, the same for every case of its kind. Broken lock rules begin with their id: `LK2 ...`. */
  readonly what: string;
  /** Who was found breaking it; absent or -1: nobody in particular, as in an audit of a machine at rest. */
  readonly actor?: number | undefined;
  /** All actors that have to do with it. */
  readonly actors?: readonly number[] | undefined;
  /** Event time: Lamport time, or the step number of a one-thread run. Absent or 0: not known, as in an audit. */
  readonly time?: number | undefined;
  /** Locks held by `actor`, in the order taken. */
  readonly held?: readonly HeldRecord[] | undefined;
  /** A question's about final states, not an oracle's: the outcome is the final state itself. */
  readonly answer?: true;
  /**
   * What real kernels do too: shown and counted, and no fault of this one. Such a record stands in OracleProbe.knownWindows, never
   * among the violations.
   */
  readonly known?: true;
}

/** Violations kept, in all and of each kind (invariant and what). */
const VIOLATIONS_KEPT = 100;
export const VIOLATIONS_KEPT_OF_KIND = 10;

const NOTHING: ViolationSubject = {};
const NO_LOCKS: readonly HeldRecord[] = [];

/** Where oracles report to. `violations` only grows, until `reset`. */
export class ViolationLog {
  readonly violations: Violation[] = [];
  /** All of them, kept or not. */
  count = 0;
  /** The first known windows, and how many there were. */
  readonly known: Violation[] = [];
  knownCount = 0;
  readonly #kinds = new Map<string, number>();

  /** Breaks off nothing: the caller goes on as if nothing had happened. */
  report(ctx: Context, invariant: string, what: string, subject: ViolationSubject = NOTHING): void {
    if (!this.#keeps(invariant, what)) return;
    this.violations.push(caught(ctx, invariant, what, subject));
  }

  /** A rule is broken in a way that real kernels are known for. */
  knownWindow(ctx: Context, invariant: string, what: string, subject: ViolationSubject): void {
    this.knownCount++;
    if (this.known.length >= VIOLATIONS_KEPT_OF_KIND) return;
    this.known.push({ ...caught(ctx, invariant, what, subject), known: true });
  }

  /** A violation that an audit found: nobody is caught in the act. */
  found(invariant: string, what: string, subject: ViolationSubject = NOTHING): void {
    if (!this.#keeps(invariant, what)) return;
    const actors = subject.other === undefined || subject.other < 0 ? [] : [subject.other];
    this.violations.push({ invariant, what, actor: -1, actors, time: 0, held: NO_LOCKS, ...subject });
  }

  reset(): void {
    this.violations.length = 0;
    this.count = 0;
    this.known.length = 0;
    this.knownCount = 0;
    this.#kinds.clear();
  }

  #keeps(invariant: string, what: string): boolean {
    this.count++;
    if (this.violations.length >= VIOLATIONS_KEPT) return false;
    const kind = `${invariant} ${what}`;
    const seen = this.#kinds.get(kind) ?? 0;
    this.#kinds.set(kind, seen + 1);
    return seen < VIOLATIONS_KEPT_OF_KIND;
  }
}

function caught(ctx: Context, invariant: string, what: string, subject: ViolationSubject): Violation {
  const actors = subject.other === undefined || subject.other < 0 ? [ctx.actor] : [ctx.actor, subject.other];
  return { invariant, what, actor: ctx.actor, actors, time: ctx.task.time, held: heldBy(ctx), ...subject };
}

function heldBy(ctx: Context): HeldRecord[] {
  const held: HeldRecord[] = [];
  for (let i = 0; i < ctx.task.heldCount; i++) {
    const packed = heldPacked(ctx, i);
    held.push({ lock: heldLock(ctx, i), lockClass: packed >> 4, mode: packed & 15 });
  }
  return held;
}
