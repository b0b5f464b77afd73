/**
 * I-COHERE: a read that starts after a write to the same page of the same process has retired returns that write or a later one.
 * Where the read goes by the entry that the tables hold now, a wrong value is a lost write (I-LOST); where it goes by an older
 * translation nothing is lost, and the read is stale.
 *
 * One such read is possible in real kernels, and is a *known window*: reclaim clears an entry whose flush it defers
 * (mm/rmap.c set_tlb_ubc_flush_pending(), since v4.3), frees the folio's place in the swap cache or page cache, and flushes only
 * before the frames of its batch are freed. A fault that comes in between brings in another folio, and a CPU with the old entry goes on reading
 * the old one (src/lab/finds/x03-stale-read.md). It is known only as long as the batch of reclaim that has cleared this very entry
 * is not flushed and its frame is not free. Migration flushes before it copies, so the same there is a violation.
 *
 * A read starts with the step that loads. The walk before it may be long over then: hardware fills TLBs on speculation, at any time.
 *
 * One thread only. Which reads are stale is a matter of order between accesses to two frames, so each access says that it is
 * about the page as well ({@link coherenceWord}).
 */
import { PG_BUDDY, PG_PCP } from '../../../machine/abi.js';
import { ghostWord, touches } from '../../../machine/words/extra-accesses.js';
import type { Context } from '../../../machine/context.js';
import { reads, writes } from '../../../machine/effects.js';
import { type Machine, PAGE_FLAGS } from '../../../machine/layout.js';
import { page } from '../../view.js';
import type { ViolationLog, ViolationSubject } from '../../violation.js';

const COHERE_ID = 'I-COHERE';
const STALE_READ = 'read is older than a write';
const STALE_IN_WINDOW = "stale read, reclaim's flush is pending";

/** An entry that reclaim has cleared and not flushed. */
interface Deferred {
  readonly actor: number;
  readonly mm: number;
  readonly vpn: number;
  readonly pfn: number;
  /** Of all that were deferred in this run, which. */
  readonly number: number;
}

export class Coherence {
  readonly #m: Machine;
  readonly #log: ViolationLog;
  #deferred: Deferred[] = [];
  #count = 0;
  /** By actor: how many had been deferred when its zap began. */
  readonly #atZap: number[];

  constructor(m: Machine, log: ViolationLog) {
    this.#m = m;
    this.#log = log;
    this.#atZap = Array.from({ length: m.cpus }, () => 0);
  }

  reset(): void {
    if (this.#deferred.length > 0) this.#deferred = [];
    this.#count = 0;
  }

  /** Reclaim has cleared the entry of (mm, vpn), which led to `pfn`, and defers its flush. */
  deferred(ctx: Context, mm: number, vpn: number, pfn: number): void {
    this.#deferred.push({ actor: ctx.actor, mm, vpn, pfn, number: this.#count++ });
  }

  /** The actor has flushed what it deferred. */
  flushed(ctx: Context): void {
    if (this.#deferred.length > 0) this.#deferred = this.#deferred.filter(({ actor }) => actor !== ctx.actor);
  }

  zapBegins(ctx: Context): void {
    this.#atZap[ctx.actor] = this.#count;
  }

  /** A zap promises that no CPU uses what was unmapped before it began, whoever has unmapped it (3ea277194daa, Z19). */
  zapEnds(ctx: Context, mm: number, start: number, end: number): void {
    if (this.#deferred.length === 0) return;
    const before = this.#atZap[ctx.actor] as number;
    this.#deferred = this.#deferred.filter(
      (each) => each.mm !== mm || each.vpn < start || each.vpn >= end || each.number >= before,
    );
  }

  /** `userPage` was accessed: stale reads and writes of it are in either order. */
  accessed(userPage: number, write: boolean): void {
    const word = ghostWord(this.#m, userPage);
    touches(write ? writes(word) : reads(word));
  }

  /** A read by a translation that is not the current one has not returned what was written last. */
  staleRead(ctx: Context, subject: ViolationSubject & { pfn: number }): void {
    if (this.#isKnown(subject)) this.#log.knownWindow(ctx, COHERE_ID, STALE_IN_WINDOW, subject);
    else this.#log.report(ctx, COHERE_ID, STALE_READ, subject);
  }

  #isKnown({ mm, vpn, pfn }: ViolationSubject & { pfn: number }): boolean {
    // entries of guests are flushed by the notifier, before reclaim clears the host's
    if ((page(this.#m, pfn, PAGE_FLAGS) & (PG_BUDDY | PG_PCP)) !== 0) return false;
    return this.#deferred.some((each) => each.mm === mm && each.vpn === vpn && each.pfn === pfn);
  }
}
