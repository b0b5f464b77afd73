/**
 * All oracles on one thread, where ledgers are exact at every step: references by holder, contents by page, places of EL2's pages;
 * and everything of the audit that can be judged as soon as the locks that guard it are free. A lock is about to be released
 * is the moment when that can become true, so nothing is looked at between two releases.
 */
import type { Context } from '../../machine/context.js';
import { PMD_INVALID, isHuge, isPresent } from '../../machine/entries.js';
import type { Machine } from '../../machine/layout.js';
import { CowWatch } from '../rules/mm/cow.js';
import { MemcacheLedger } from '../rules/kvm/hyp-memcache.js';
import { LazyFree } from '../rules/mm/lazyfree.js';
import { LedgerProbe } from './ledger-probe.js';
import type { OracleOptions } from '../options.js';
import { OwnershipWatch } from '../rules/kvm/ownership.js';
import { pinnedReplaced } from '../rules/mm/pin.js';
import { PinPlaces } from '../rules/mm/pin-places.js';
import { RefLedger } from '../rules/mm/ref.js';
import { Scanners } from '../rules/mm/scanners.js';
import { Secrets } from '../rules/kvm/secret.js';
import { Shadow } from '../rules/mm/shadow.js';
import { StaleWatch } from '../rules/kvm/stale.js';
import { Stage2Tables } from '../rules/kvm/stage2-tables.js';
import { TlbWatch } from '../rules/kvm/tlb.js';
import { UndoneWork } from '../rules/undone.js';

export class ExactProbe extends LedgerProbe {
  readonly #refs: RefLedger;
  readonly #cow: CowWatch;
  readonly #shadow: Shadow;
  readonly #scanners: Scanners;
  readonly #stale: StaleWatch | null;
  readonly #tlbs: TlbWatch;
  readonly #ownership: OwnershipWatch | null;
  readonly #memcaches: MemcacheLedger;
  readonly #stage2Tables: Stage2Tables;
  readonly #places: PinPlaces | null;
  readonly #lazyFree: LazyFree;
  readonly #undone: UndoneWork;
  readonly #secrets: Secrets | null;

  constructor(m: Machine, options: OracleOptions, buffer: ArrayBufferLike | null) {
    super(m, options, buffer);
    const { claims, actors } = options;
    this.#refs = new RefLedger(m, this.log);
    this.#cow = new CowWatch(m, this.log);
    this.#scanners = new Scanners(m, this.log);
    this.#shadow = new Shadow(m, this.log, claims, this.#cow);
    this.#stale = claims.stage2FollowsHost ? new StaleWatch(m, this.log, claims) : null;
    this.#tlbs = new TlbWatch(m, this.log, actors, claims.el2);
    this.#ownership = claims.el2 ? new OwnershipWatch(m, this.log) : null;
    this.#memcaches = new MemcacheLedger(m, this.log);
    this.#stage2Tables = new Stage2Tables(m, this.log);
    this.#places = (options.pinKeepsPlace ?? options.keepsExclusiveBit) === false ? null : new PinPlaces(m);
    this.#lazyFree = new LazyFree(m, this.log);
    this.#undone = new UndoneWork(m, this.log, actors);
    this.#secrets = claims.el2 ? new Secrets(m, this.log) : null;
    this.#undone.reset();
    this.#shadow.reset();
  }

  override reset(): void {
    super.reset();
    this.#refs.reset();
    this.#cow.reset();
    this.#scanners.reset();
    this.#shadow.reset();
    this.#stale?.reset();
    this.#tlbs.reset();
    this.#ownership?.reset();
    this.#memcaches.reset();
    this.#stage2Tables.reset();
    this.#places?.reset();
    this.#lazyFree.reset();
    this.#undone.reset();
    this.#secrets?.reset();
  }

  override knows(ctx: Context, mm: number, vpn: number, pfn: number, content: number): void {
    super.knows(ctx, mm, vpn, pfn, content);
    this.#shadow.read(ctx, false, mm, vpn, pfn, content);
  }

  override onAlloc(_ctx: Context, pfn: number, order: number): void {
    this.#refs.allocated(pfn, order);
    this.#cow.allocated(pfn, order);
    this.#places?.allocated(pfn, order);
    this.#lazyFree.allocated(pfn, order);
  }

  override onPinned(ctx: Context, mm: number, vpn: number, pfn: number): void {
    this.#cow.pinned(mm, pfn);
    if (this.#places === null || this.#places.isZapped(pfn)) {
      super.onPinned(ctx, mm, vpn, pfn);
      return;
    }
    this.pinnedStage2.pinsChanged();
    this.#places.pinned(ctx, this.log, this.ledger, mm, vpn, pfn);
  }

  override keepsPin(ctx: Context, mm: number, vpn: number, pfn: number): void {
    this.#cow.pinned(mm, pfn);
    super.onPinned(ctx, mm, vpn, pfn);
  }

  override onRef(ctx: Context, pfn: number, delta: number, _holder: number): void {
    this.#refs.changed(ctx, pfn, delta);
  }

  override onFreeze(ctx: Context, pfn: number, frozen: number): void {
    if (frozen < 0) this.#refs.unfrozen(ctx, pfn);
  }

  override onEntry(ctx: Context, mm: number, vpn: number, word: number, before: number, after: number): void {
    super.onEntry(ctx, mm, vpn, word, before, after);
    this.#tlbs.changed(ctx, mm, vpn, before, after);
    this.#scanners.changed(mm, vpn);
    this.#stale?.hostChanged(mm, vpn, word);
    if (this.#places === null) return;
    this.#places.changed(mm, vpn, before);
    if (!isPresent(after) || (after & PMD_INVALID) === PMD_INVALID) return;
    pinnedReplaced(ctx, this.log, this.ledger, mm, vpn, after, isHuge(after) ? this.m.thpPages : 1);
  }

  override onRelease(ctx: Context, lock: number, kind: number, mode: number): void {
    super.onRelease(ctx, lock, kind, mode);
    this.#stale?.released(ctx, lock);
    this.#ownership?.released(ctx, lock);
  }

  override onNotifierStarted(ctx: Context, mm: number, start: number, end: number): void {
    super.onNotifierStarted(ctx, mm, start, end);
    this.#tlbs.started(ctx, mm, start, end);
  }

  override onStage2Map(ctx: Context, vm: number, gfn: number, pfn: number, pages: number, writable: boolean): void {
    super.onStage2Map(ctx, vm, gfn, pfn, pages, writable);
    this.#undone.mapped(ctx, vm, gfn, pfn, pages, writable);
    this.#stale?.guestChanged(vm, gfn, pages);
  }

  override onStage2Perm(ctx: Context, vm: number, gfn: number, pfn: number, pages: number, writable: boolean): void {
    super.onStage2Perm(ctx, vm, gfn, pfn, pages, writable);
    this.#undone.permitted(vm, gfn, pages, writable);
    this.#stale?.guestChanged(vm, gfn, pages);
  }

  override onRead(ctx: Context, guest: boolean, space: number, at: number, pfn: number, content: number): void {
    this.#shadow.read(ctx, guest, space, at, pfn, content);
    if (this.#secrets === null) return;
    if (guest) this.#secrets.read(ctx, space, { pfn }, content);
    else this.#secrets.read(ctx, -1, { mm: space, vpn: at, pfn }, content);
  }

  override onWrite(ctx: Context, guest: boolean, space: number, at: number, pfn: number, content: number): void {
    super.onWrite(ctx, guest, space, at, pfn, content);
    this.#cow.wrote(guest, space, pfn);
    this.#shadow.wrote(guest, space, at, pfn, content);
    this.#lazyFree.wrote(guest, space, at, pfn);
    this.#secrets?.wrote(guest, space, pfn, content);
  }

  override onDeviceWrite(ctx: Context, pfn: number, content: number): void {
    super.onDeviceWrite(ctx, pfn, content);
    this.#cow.deviceWrote(pfn);
    this.#shadow.deviceWrote(pfn, content);
    this.#secrets?.deviceWrote(content);
  }

  override onZapped(ctx: Context, mm: number, start: number, end: number): void {
    super.onZapped(ctx, mm, start, end);
    this.#places?.zapped(mm, start, end);
    this.#shadow.zapped(mm, start, end);
  }

  override onDiscarded(ctx: Context, mm: number, vpn: number, pfn: number): void {
    super.onDiscarded(ctx, mm, vpn, pfn);
    this.#lazyFree.discarded(ctx, mm, vpn, pfn);
    this.#places?.discarded(mm, vpn, pfn);
    this.#shadow.zapped(mm, vpn, vpn + 1);
  }

  override onFlushDeferred(ctx: Context, mm: number, vpn: number, pfn: number): void {
    this.#shadow.coherence.deferred(ctx, mm, vpn, pfn);
  }

  override onBatchFlushed(ctx: Context): void {
    this.#shadow.coherence.flushed(ctx);
  }

  override onProtected(ctx: Context, mm: number, start: number, end: number, flags: number): void {
    this.#tlbs.isProtected(ctx, mm, start, end, flags);
  }

  override onZapBegin(ctx: Context, mm: number, start: number, end: number): void {
    this.#shadow.coherence.zapBegins(ctx);
    this.#shadow.zapBegins(mm, start, end);
  }

  override onZapEnd(ctx: Context, mm: number, start: number, end: number, zapped: boolean): void {
    super.onZapEnd(ctx, mm, start, end, zapped);
    this.#shadow.zapEnds(mm, start, end, zapped);
    this.#shadow.coherence.zapEnds(ctx, mm, start, end);
  }

  override onUnpin(ctx: Context, pfn: number): void {
    super.onUnpin(ctx, pfn);
    this.#cow.unpinned(pfn, this.ledger.pins(pfn));
  }

  protected override holdersOf(pfn: number): number {
    return Math.max(0, this.ledger.pins(pfn)) + Math.max(0, this.ledger.held(pfn));
  }

  override onKernelRead(ctx: Context, pfn: number, content: number): void {
    this.#secrets?.read(ctx, -1, { pfn }, content);
  }

  override onLazyFreeBegin(_ctx: Context, mm: number, start: number, end: number): void {
    this.#lazyFree.begins(mm, start, end);
  }

  override onLazyFreeEnd(_ctx: Context, mm: number, start: number, end: number): void {
    this.#lazyFree.ends(mm, start, end);
  }

  override onLazyFree(_ctx: Context, pfn: number): void {
    this.#lazyFree.freed(pfn);
  }

  override onPinRead(ctx: Context, pfn: number, content: number): void {
    this.#cow.pinRead(ctx, pfn, content);
  }

  override onCopy(_ctx: Context, from: number, to: number): void {
    this.#cow.copied(from, to);
    this.#lazyFree.copied(from, to);
  }

  override onObjectZapBegin(_ctx: Context, object: number, start: number, end: number): void {
    const { mms, objectPages } = this.m;
    this.#shadow.zapBegins(mms, object * objectPages + start, object * objectPages + end);
  }

  override onObjectZapEnd(_ctx: Context, object: number, start: number, end: number): void {
    const { mms, objectPages } = this.m;
    this.#shadow.zapEnds(mms, object * objectPages + start, object * objectPages + end, true);
  }

  override onForked(ctx: Context, parent: number, child: number): void {
    super.onForked(ctx, parent, child);
    this.#cow.forked(child);
    this.#shadow.forked(child);
  }

  override onHostOwner(ctx: Context, pfn: number, wipeDemanded: boolean): void {
    super.onHostOwner(ctx, pfn, wipeDemanded);
    if (wipeDemanded) this.#shadow.forget(pfn);
  }

  override onOwnership(_ctx: Context, pfn: number): void {
    this.#ownership?.changed(pfn);
    this.#secrets?.changedOwner(pfn);
  }

  override onStage2Table(_ctx: Context, table: number, inUse: boolean): void {
    this.#stage2Tables.changed(table, inUse);
  }

  override onStage2Leaf(ctx: Context, table: number, vm: number, gfn: number): void {
    this.#stage2Tables.stores(ctx, table, vm, gfn);
  }

  override onHintFault(ctx: Context, mm: number, vpn: number): void {
    this.#scanners.hintFault(ctx, mm, vpn);
  }

  override onKsmPassed(ctx: Context, mm: number, vpn: number): void {
    this.#scanners.passed(ctx, mm, vpn);
  }

  override onKsmVmaWalk(ctx: Context, mm: number): void {
    this.#scanners.vmasWalked(ctx, mm);
  }

  override onKsmNodeFreed(ctx: Context, node: number): void {
    this.#scanners.nodeFreed(ctx, node);
  }

  override onMemcache(ctx: Context, pfn: number, from: number, to: number): void {
    this.#memcaches.moved(ctx, pfn, from, to);
  }

  override onProgress(ctx: Context): void {
    super.onProgress(ctx);
    this.#tlbs.operationEnded(ctx);
    this.#undone.progressed(ctx);
  }

  override onNotifierStart(ctx: Context, mm: number, start: number, end: number, event: number): void {
    super.onNotifierStart(ctx, mm, start, end, event);
    this.#undone.announced(ctx);
  }

  override onStage2Unmap(ctx: Context, vm: number, gfn: number, pfn: number, pages: number): void {
    super.onStage2Unmap(ctx, vm, gfn, pfn, pages);
    this.#undone.unmapped(ctx, vm, gfn, pfn, pages);
  }

  override onStage2Fault(ctx: Context, vm: number, gfn: number, begin: boolean): void {
    super.onStage2Fault(ctx, vm, gfn, begin);
    this.#undone.faultBegins(ctx, begin);
  }

  override onRetry(ctx: Context, vm: number, at: number): void {
    super.onRetry(ctx, vm, at);
    this.#undone.retried(ctx, vm, at);
  }
}
