/**
 * MMU notifiers (mm/mmu_notifier.c, include/linux/mmu_notifier.h, v6.18; kernel-model 2.3). A subscription is a kind and an
 * id; its callbacks come from the kernel record, so this room knows nothing of KVM.
 */
import { glance, setBeside } from '../machine/words/extra-accesses.js';
import { EAGAIN } from '../machine/abi.js';
import type { Context, Coroutine, SubscriberOps } from '../machine/context.js';
import { entryPfn, isHuge, isPresent, isTable } from '../machine/entries.js';
import {
  MM_SRCU,
  MM_SUBSCRIPTIONS,
  PAGE_COMPOUND,
  PAGE_PINCOUNT,
  PAGE_REFS,
  SUBSCRIPTIONS_MAX,
  mmWord,
  pageWord,
  pmdWord,
  pteWord,
} from '../machine/layout.js';
import {
  LATENCY,
  MC_NOTIFIER_STARTS,
  MC_PINNED_HIT,
  STAT,
  countMechanism,
  countStat,
  noteAt,
  noteGone,
  noteLatency,
} from '../machine/stats.js';
import { COMPOUND_TAIL, GUP_PIN_COUNTING_BIAS } from '../machine/abi.js';
import { emit } from '../events/emit.js';
import { EVENT } from '../events/table.js';
import { mightSleep } from '../locks/held.js';
import { srcuReadLock, srcuReadUnlock, synchronizeSrcu } from '../locks/srcu.js';
import { get, look, set } from '#words';

/** A clock costs as much as a short notifier: one call in eight is timed. */
const SAMPLE_MASK = 7;

/** mm_has_notifiers(): without a lock, as a subscriber may leave beside one who holds a lock of the rmap only. */
export const mmHasNotifiers = (ctx: Context, mm: number): boolean =>
  glance(ctx.words, mmWord(ctx.m, mm, MM_SUBSCRIPTIONS)) !== 0;

/** The place of a subscriber that has left, until another comes: those who go through the list meanwhile miss nobody else. */
const GONE = -1;

const subscription = (kind: number, id: number): number => (kind << 8) | id;

function opsOf(ctx: Context, subscriptionWord: number): SubscriberOps {
  const ops = ctx.kernel.subscribers[subscriptionWord >> 8];
  if (ops === undefined) throw new Error(`no notifier subscriber of kind ${subscriptionWord >> 8}`);
  return ops;
}

/**
 * mmu_notifier_invalidate_range_start(): secondary MMUs have dropped [start, end) when it returns 0.
 * @param event MMU_NOTIFY_*
 * @param blockable false only for the OOM reaper
 * @returns 0, or -EAGAIN (not blockable and a subscriber would have slept; no end is owed)
 */
export function* mmuNotifierInvalidateRangeStart(
  ctx: Context,
  mm: number,
  start: number,
  end: number,
  event: number,
  blockable: boolean,
): Coroutine {
  if (blockable) mightSleep(ctx, 'mmu_notifier_invalidate_range_start');
  ctx.probe.onNotifierStart(ctx, mm, start, end, event);
  noteAt(ctx, mm, start);
  if (mmHasNotifiers(ctx, mm)) {
    countStat(ctx.m, ctx.actor, STAT.notifier_starts, 1);
    countMechanism(ctx.m, ctx.actor, ctx.task.mechanism, MC_NOTIFIER_STARTS, 1);
    const sampled = (get(ctx.words, ctx.statsAt + STAT.notifier_starts) & SAMPLE_MASK) === 0;
    const started = sampled ? ctx.clock() : 0;
    const pinned = countPinned(ctx, mm, start, end);
    if (pinned > 0) countMechanism(ctx.m, ctx.actor, ctx.task.mechanism, MC_PINNED_HIT, pinned);
    emit(ctx, EVENT.notifier_start, mm, start, end, ctx.task.mechanism);
    const srcu = mmWord(ctx.m, mm, MM_SRCU);
    const side = yield* srcuReadLock(ctx, srcu);
    const count = glance(ctx.words, mmWord(ctx.m, mm, MM_SUBSCRIPTIONS));
    for (let i = 0; i < count; i++) {
      const subscriber = glance(ctx.words, mmWord(ctx.m, mm, MM_SUBSCRIPTIONS) + 1 + i);
      if (subscriber === GONE) continue;
      const result = yield* opsOf(ctx, subscriber).invalidateRangeStart(
        ctx,
        subscriber & 255,
        start,
        end,
        event,
        blockable,
      );
      if (result === 0) continue;
      // those that were told get their end; this one, which refused, must not
      while (--i >= 0) {
        const told = glance(ctx.words, mmWord(ctx.m, mm, MM_SUBSCRIPTIONS) + 1 + i);
        if (told !== GONE) yield* opsOf(ctx, told).invalidateRangeEnd(ctx, told & 255, start, end);
      }
      yield* srcuReadUnlock(ctx, srcu, side);
      return -EAGAIN;
    }
    yield* srcuReadUnlock(ctx, srcu, side);
    if (sampled) noteLatency(ctx, LATENCY.notifier, started);
  }
  ctx.probe.onNotifierStarted(ctx, mm, start, end);
  return 0;
}

/** mmu_notifier_invalidate_range_end(): owed exactly once for each start that returned 0, by the same task (LK3). */
export function* mmuNotifierInvalidateRangeEnd(ctx: Context, mm: number, start: number, end: number): Coroutine<void> {
  if (mmHasNotifiers(ctx, mm)) {
    const srcu = mmWord(ctx.m, mm, MM_SRCU);
    const side = yield* srcuReadLock(ctx, srcu);
    const count = glance(ctx.words, mmWord(ctx.m, mm, MM_SUBSCRIPTIONS));
    for (let i = 0; i < count; i++) {
      const subscriber = glance(ctx.words, mmWord(ctx.m, mm, MM_SUBSCRIPTIONS) + 1 + i);
      if (subscriber === GONE) continue;
      yield* opsOf(ctx, subscriber).invalidateRangeEnd(ctx, subscriber & 255, start, end);
    }
    yield* srcuReadUnlock(ctx, srcu, side);
    countStat(ctx.m, ctx.actor, STAT.notifier_ends, 1);
    emit(ctx, EVENT.notifier_end, mm, start, end, ctx.task.mechanism);
  }
  ctx.probe.onNotifierEnd(ctx, mm, start, end);
  noteGone(ctx);
}

/** mmu_notifier_register(): under mmap_lock write (mm_take_all_locks: no start..end is open then). */
export function mmuNotifierRegister(ctx: Context, mm: number, kind: number, id: number): void {
  const at = mmWord(ctx.m, mm, MM_SUBSCRIPTIONS);
  const count = get(ctx.words, at);
  for (let i = 0; i < count; i++) {
    if (get(ctx.words, at + 1 + i) !== GONE) continue;
    set(ctx.words, at + 1 + i, subscription(kind, id));
    return;
  }
  if (count >= SUBSCRIPTIONS_MAX)
    throw new RangeError(`mm ${mm} has ${SUBSCRIPTIONS_MAX} notifier subscribers already`);
  set(ctx.words, at + 1 + count, subscription(kind, id));
  set(ctx.words, at, count + 1);
}

/**
 * mmu_notifier_unregister(): release under SRCU, off the list, synchronize_srcu. The caller holds mmap_lock write, which
 * stands for the hlist's own lock; who goes through the list under SRCU goes on from the place that is empty now (hlist_del_init_rcu()).
 */
export function* mmuNotifierUnregister(ctx: Context, mm: number, kind: number, id: number): Coroutine<void> {
  const at = mmWord(ctx.m, mm, MM_SUBSCRIPTIONS);
  const srcu = mmWord(ctx.m, mm, MM_SRCU);
  const mine = subscription(kind, id);
  const side = yield* srcuReadLock(ctx, srcu);
  yield* opsOf(ctx, mine).release(ctx, id);
  yield* srcuReadUnlock(ctx, srcu, side);
  const count = get(ctx.words, at);
  let found = 0;
  while (found < count && get(ctx.words, at + 1 + found) !== mine) found++;
  if (found === count) return;
  setBeside(ctx.words, at + 1 + found, GONE);
  let left = count;
  while (left > 0 && get(ctx.words, at + left) === GONE) left--;
  if (left < count) setBeside(ctx.words, at, left);
  yield* synchronizeSrcu(ctx, srcu);
}

/** mmu_notifier_release(): exit_mmap calls every subscriber's release before the page tables go. */
export function* mmuNotifierRelease(ctx: Context, mm: number): Coroutine<void> {
  if (!mmHasNotifiers(ctx, mm)) return;
  const srcu = mmWord(ctx.m, mm, MM_SRCU);
  const side = yield* srcuReadLock(ctx, srcu);
  const count = glance(ctx.words, mmWord(ctx.m, mm, MM_SUBSCRIPTIONS));
  for (let i = 0; i < count; i++) {
    const subscriber = glance(ctx.words, mmWord(ctx.m, mm, MM_SUBSCRIPTIONS) + 1 + i);
    if (subscriber === GONE) continue;
    yield* opsOf(ctx, subscriber).release(ctx, subscriber & 255);
  }
  yield* srcuReadUnlock(ctx, srcu, side);
  yield* synchronizeSrcu(ctx, srcu);
}

/** Statistics only, hence racy: pages of [start, end) that look pinned as the notifier is sent. */
function countPinned(ctx: Context, mm: number, start: number, end: number): number {
  const { m, words } = ctx;
  let pinned = 0;
  for (let vpn = start; vpn < end; vpn++) {
    const pmd = look(words, pmdWord(m, mm, vpn));
    if (pmd === 0) {
      vpn |= m.thpPages - 1;
    } else if (isHuge(pmd)) {
      const next = Math.min(end, (vpn | (m.thpPages - 1)) + 1);
      if (entryPfn(pmd) !== 0 && look(words, pageWord(m, entryPfn(pmd), PAGE_PINCOUNT)) > 0) pinned += next - vpn;
      vpn = next - 1;
    } else if (isTable(pmd)) {
      const entry = look(words, pteWord(m, entryPfn(pmd), vpn));
      const pfn = entryPfn(entry);
      if (!isPresent(entry) || pfn === 0) continue;
      const compound = look(words, pageWord(m, pfn, PAGE_COMPOUND));
      if (compound === 0) {
        if (look(words, pageWord(m, pfn, PAGE_REFS)) >= GUP_PIN_COUNTING_BIAS) pinned++;
      } else {
        const head = compound < 0 ? compound & ~COMPOUND_TAIL : pfn;
        if (look(words, pageWord(m, head, PAGE_PINCOUNT)) > 0) pinned++;
      }
    }
  }
  return pinned;
}
