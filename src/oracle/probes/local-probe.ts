/**
 * The local oracles: what can be asserted at the operation itself, under the locks that make it exact, on real threads as on one.
 * These hooks stand on hot paths: a few loads each, and nothing is allocated unless a rule is broken.
 */
import type { Context } from '../../machine/context.js';
import { entryPfn, isWritableLeaf } from '../../machine/entries.js';
import { type Machine, PAGE_MAPS, PAGE_REFS } from '../../machine/layout.js';
import { countsChanged } from '../rules/balance.js';
import { writableStored } from '../rules/mm/exclusive.js';
import { FaultPins } from '../rules/mm/fault-pins.js';
import { FreeOracle } from '../rules/mm/free.js';
import { Liveness } from '../rules/liveness.js';
import { LockRules } from '../rules/lock-rules.js';
import { longtermPinned } from '../rules/mm/movable.js';
import type { OracleOptions } from '../options.js';
import type { Claims } from '../../policies/policy.js';
import { PinnedStage2 } from '../rules/kvm/pinned-stage2.js';
import { OracleProbe } from './probe.js';
import { isReadOnlyPage, readOnlyMapped, readOnlyWritten } from '../rules/mm/read-only.js';
import { writableMapped } from '../rules/kvm/stale.js';
import { tableWalked } from '../rules/mm/table-walk.js';
import { leafInstalled, slotsReleased } from '../rules/kvm/slots.js';
import { entryChanged } from '../rules/kvm/untold.js';
import { page } from '../view.js';
import { hostBecameOwner } from '../rules/kvm/wipe.js';

export class LocalProbe extends OracleProbe {
  protected readonly m: Machine;
  readonly #locks: LockRules;
  readonly #free: FreeOracle;
  readonly #liveness: Liveness;
  protected readonly pinnedStage2: PinnedStage2;
  readonly #faultPins: FaultPins;
  readonly #claims: Claims;
  readonly #threads: boolean;

  /** @param pins returned pins of a frame, as far as they are known; @param deep whether frees look into TLBs */
  constructor(m: Machine, options: OracleOptions, pins: (pfn: number) => number, deep: boolean) {
    super();
    this.m = m;
    this.#locks = new LockRules(m, this.log);
    this.#free = new FreeOracle(m, this.log, options.actors, deep, options.claims.el2);
    this.#liveness = new Liveness(m, this.log, options.actors);
    this.#claims = options.claims;
    this.#threads = options.mode === 'threads';
    this.#faultPins = new FaultPins(m, this.log);
    this.pinnedStage2 = new PinnedStage2(this.log, options.claims, pins);
  }

  override reset(): void {
    super.reset();
    this.#locks.reset();
    this.#liveness.reset();
  }

  override forget(): void {
    super.forget();
    this.#locks.reset();
    this.#liveness.reset();
  }

  override onFree(ctx: Context, pfn: number, order: number): void {
    this.#free.freed(ctx, pfn, order);
  }

  override onMap(ctx: Context, mm: number, vpn: number, pfn: number, delta: number): void {
    // a folio that nobody has seen yet is mapped once and has one reference
    if (delta > 0 && page(ctx.m, pfn, PAGE_MAPS) <= 1 && page(ctx.m, pfn, PAGE_REFS) === 1) return;
    this.#locks.mapcountChanged(ctx, mm, vpn, pfn);
  }

  override onTableWalk(ctx: Context, mm: number, vpn: number, table: number): void {
    tableWalked(ctx, this.log, mm, vpn, table);
  }

  override onEntry(ctx: Context, mm: number, vpn: number, word: number, before: number, after: number): void {
    if (this.#threads) entryChanged(ctx, this.log, this.#claims, mm, vpn, word, before, after);
    if (!isWritableLeaf(after)) return;
    const pfn = entryPfn(after);
    if (isReadOnlyPage(ctx, pfn)) readOnlyMapped(ctx, this.log, mm, vpn, pfn);
    else writableStored(ctx, this.log, mm, vpn, after);
  }

  override onLongtermPin(ctx: Context, pfn: number): void {
    longtermPinned(ctx, this.log, pfn);
  }

  override onLockAttempt(ctx: Context, lock: number, kind: number, mode: number): void {
    this.#locks.attempt(ctx, lock, kind, mode);
  }

  override onAcquire(ctx: Context, lock: number, kind: number, _mode: number, trylock: boolean): void {
    if (trylock) this.#locks.acquired(ctx, lock, kind);
  }

  override onRelease(ctx: Context, lock: number, kind: number, _mode: number): void {
    slotsReleased(ctx, this.log, lock, kind);
    this.#locks.released(ctx);
  }

  override onMightSleep(ctx: Context, what: string): void {
    this.#locks.mightSleep(ctx, what);
  }

  override onNotifierStart(ctx: Context, mm: number, start: number, _end: number, _event: number): void {
    this.#locks.notifierStart(ctx, mm, start);
  }

  override onNotifierStarted(ctx: Context, mm: number, start: number, end: number): void {
    this.#locks.notifierStarted(ctx, mm, start, end);
  }

  override onNotifierEnd(ctx: Context, mm: number, start: number, end: number): void {
    this.#locks.notifierEnd(ctx, mm, start, end);
  }

  override onInvalidateCount(ctx: Context, vm: number, inProgress: number, active: number): void {
    if (inProgress < 0 || active < 0) countsChanged(ctx, this.log, vm, inProgress, active);
    this.#locks.countsChanged(ctx, vm);
  }

  override onStage2Map(ctx: Context, vm: number, gfn: number, pfn: number, _pages: number, writable: boolean): void {
    this.#free.mapped(ctx, vm, gfn, pfn);
    leafInstalled(ctx, this.log, vm, gfn, pfn);
    if (writable) writableMapped(ctx, this.log, vm, gfn, pfn);
  }

  override onStage2Perm(ctx: Context, vm: number, gfn: number, pfn: number, _pages: number, writable: boolean): void {
    if (writable) writableMapped(ctx, this.log, vm, gfn, pfn);
  }

  override onStage2Unmap(ctx: Context, vm: number, gfn: number, pfn: number, pages: number): void {
    this.pinnedStage2.unmapped(ctx, vm, gfn, pfn, pages);
  }

  override onWrite(ctx: Context, _guest: boolean, _space: number, _page: number, pfn: number, _content: number): void {
    if (isReadOnlyPage(ctx, pfn)) readOnlyWritten(ctx, this.log, pfn, false);
  }

  override onDeviceWrite(ctx: Context, pfn: number, _content: number): void {
    if (isReadOnlyPage(ctx, pfn)) readOnlyWritten(ctx, this.log, pfn, true);
  }

  override onHostOwner(ctx: Context, pfn: number, wipeDemanded: boolean): void {
    hostBecameOwner(ctx, this.log, pfn, wipeDemanded);
  }

  override onStage2Pinned(ctx: Context, _vm: number, _gfn: number, _pfn: number): void {
    this.#faultPins.kept(ctx, 1);
  }

  override onStage2Unpinned(ctx: Context, _vm: number, _gfn: number, _pfn: number): void {
    this.#faultPins.kept(ctx, -1);
  }

  override onStage2Fault(ctx: Context, vm: number, gfn: number, begin: boolean): void {
    if (begin) this.#faultPins.begins(ctx);
    else this.#faultPins.ends(ctx, vm, gfn);
  }

  override onRetry(ctx: Context, vm: number, at: number): void {
    this.#liveness.retried(ctx, vm, at);
  }

  override onProgress(ctx: Context): void {
    super.onProgress(ctx);
    this.#liveness.progressed(ctx);
    this.#locks.operationEnded(ctx);
  }

  override onWarn(ctx: Context, invariant: string, what: string, pfn: number): void {
    this.log.report(ctx, invariant, what, pfn < 0 ? {} : { pfn });
  }
}
