/**
 * GUP-fast: takes a page without any lock (mm/gup.c gup_fast, v6.18; kernel-model 3.10.3). Interrupts are off from the
 * first table that it reads to the last, so that a page-table page which it may walk is not freed under it (LK10).
 * Sound by pairing: changers clear the entry, then read the pins; this raises the count, then reads the entry again.
 */
import {
  COMPOUND_TAIL,
  FOLL_LONGTERM,
  FOLL_PIN,
  FOLL_WRITE,
  GUP_PIN_COUNTING_BIAS,
  PG_UNPINNABLE_ZONE,
} from '../../machine/abi.js';
import { type Context, type Coroutine, REF_PIN, REF_TEMP } from '../../machine/context.js';
import { reads, updates, writes } from '../../machine/effects.js';
import { PTE_WRITE, entryPfn, isHardwareValid, isHuge, isSpecial, isTable } from '../../machine/entries.js';
import {
  CPU_IRQS_OFF,
  MM_WRITE_PROTECT_SEQ,
  PAGE_COMPOUND,
  PAGE_MAPPING,
  PAGE_PINCOUNT,
  mmWord,
  pageWord,
  pmdWord,
  pteWord,
} from '../../machine/layout.js';
import { wake } from '../../machine/wait.js';
import { emit } from '../../events/emit.js';
import { EVENT } from '../../events/table.js';
import { fetchAdd, readOnce, writeOnce, xchg } from '#words';
import {
  flagsWord,
  folioMapping,
  folioPut,
  folioTestLarge,
  refAdd,
  refAddUnlessZero,
  refsWord,
  testFlag,
} from '../folio.js';
import { mappingIsFile } from '../filemap.js';
import { gupMustUnshare, refusesFile } from './checks.js';
import { NO_PAGE } from './follow.js';
import { gupPutFolio } from './grab.js';
import { mmSetHasPinned, pinned } from './gup.js';

/**
 * gup_fast() of one page: get_user_pages_fast (FOLL_GET) or pin_user_pages_fast (FOLL_PIN) without their slow path.
 * @returns the page or NO_PAGE: the slow path must decide
 */
export function* gupFast(ctx: Context, mm: number, vpn: number, flags: number): Coroutine {
  const { m, words } = ctx;
  if (vpn < 0 || vpn >= m.mmPages) return NO_PAGE;
  const pin = (flags & FOLL_PIN) !== 0;
  const seqAt = mmWord(m, mm, MM_WRITE_PROTECT_SEQ);
  let seq = 0;
  if (pin) {
    yield* mmSetHasPinned(ctx, mm);
    if (--ctx.quantum < 0) yield reads(seqAt);
    seq = readOnce(words, seqAt);
    // odd: fork is write-protecting, and its pin checks must not miss ours
    if ((seq & 1) !== 0) return NO_PAGE;
  }
  const irqs = ctx.cpuAt + CPU_IRQS_OFF;
  if (--ctx.quantum < 0) yield writes(irqs);
  // a new value each time, so that who waits for this section does not wait for the next one too
  const section = (ctx.accessSequence + 1) & 0x3fffffff;
  ctx.accessSequence = section;
  writeOnce(words, irqs, section + 1);
  ctx.cpu.irqsOff = true;
  const pfn = yield* walk(ctx, mm, vpn, flags);
  if (--ctx.quantum < 0) yield updates(irqs);
  ctx.cpu.irqsOff = false;
  if (xchg(words, irqs, 0) < 0) wake(m, irqs);
  if (pfn === NO_PAGE) return pfn;
  if (pin) {
    if (--ctx.quantum < 0) yield reads(seqAt);
    if (readOnce(words, seqAt) !== seq) {
      yield* gupPutFolio(ctx, pfn, flags);
      return NO_PAGE;
    }
    pinned(ctx, mm, vpn, pfn, flags);
  }
  return pfn;
}

/** gup_fast_pgd_range() down to the entry: steps 3 and 4. */
function* walk(ctx: Context, mm: number, vpn: number, flags: number): Coroutine {
  const { m, words } = ctx;
  const pmdAt = pmdWord(m, mm, vpn);
  if (--ctx.quantum < 0) yield reads(pmdAt);
  const pmd = readOnce(words, pmdAt);
  let entryAt = pmdAt;
  let entry = pmd;
  if (isTable(pmd)) {
    entryAt = pteWord(m, entryPfn(pmd), vpn);
    if (--ctx.quantum < 0) yield reads(entryAt);
    ctx.probe.onTableWalk(ctx, mm, vpn, entryPfn(pmd));
    entry = readOnce(words, entryAt);
  } else if (!isHuge(pmd)) {
    return NO_PAGE;
  }
  // a hint, a swap-type entry, an invalidated PMD; not permitted; the zero page
  if (!isHardwareValid(entry) || ((flags & FOLL_WRITE) !== 0 && (entry & PTE_WRITE) === 0) || isSpecial(entry)) {
    return NO_PAGE;
  }
  const first = entryPfn(entry);
  const pfn = isHuge(entry) ? first + (vpn & (m.thpPages - 1)) : first;
  const head = yield* tryGrabFolioFast(ctx, mm, vpn, pfn, flags);
  if (head < 0) return NO_PAGE;
  if (yield* stillAllowed(ctx, flags, pmdAt, pmd, entryAt, entry, head)) return pfn;
  yield* gupPutFolio(ctx, pfn, flags);
  return NO_PAGE;
}

/** page_folio(), the marked form: no reference keeps the compound state yet. */
function headOf(ctx: Context, pfn: number): number {
  const compound = readOnce(ctx.words, pageWord(ctx.m, pfn, PAGE_COMPOUND));
  return compound < 0 ? compound & ~COMPOUND_TAIL : pfn;
}

/** try_grab_folio_fast(), step 5. Returns the head, or -1. */
function* tryGrabFolioFast(ctx: Context, mm: number, vpn: number, pfn: number, flags: number): Coroutine {
  const { m, words } = ctx;
  const compoundAt = pageWord(m, pfn, PAGE_COMPOUND);
  let head = -1;
  for (;;) {
    if (--ctx.quantum < 0) yield reads(compoundAt);
    head = headOf(ctx, pfn);
    if (--ctx.quantum < 0) yield updates(refsWord(ctx, head));
    if (!refAddUnlessZero(ctx, head, 1, REF_TEMP)) return -1;
    // split or freed between the two: the reference may be one of another folio
    if (--ctx.quantum < 0) yield reads(compoundAt);
    if (headOf(ctx, pfn) === head) break;
    yield* folioPut(ctx, head, REF_TEMP);
  }
  if ((flags & FOLL_PIN) === 0) return head;
  if ((flags & FOLL_LONGTERM) !== 0) {
    if (--ctx.quantum < 0) yield reads(flagsWord(ctx, head));
    if (testFlag(ctx, head, PG_UNPINNABLE_ZONE)) {
      yield* folioPut(ctx, head, REF_TEMP);
      return -1;
    }
  }
  // our reference keeps the compound state from here on
  if (folioTestLarge(ctx, head)) {
    const pins = pageWord(m, head, PAGE_PINCOUNT);
    if (--ctx.quantum < 0) yield updates(pins);
    fetchAdd(words, pins, 1);
  } else {
    if (--ctx.quantum < 0) yield updates(refsWord(ctx, head));
    refAdd(ctx, head, GUP_PIN_COUNTING_BIAS - 1, REF_PIN);
  }
  // the trial reference is part of the pin now
  ctx.probe.onRef(ctx, head, -1, REF_TEMP);
  ctx.probe.onRef(ctx, head, 1, REF_PIN);
  emit(ctx, EVENT.page_pin, mm, vpn, pfn, flags);
  return head;
}

/** Step 6: the entries are read again, after the count was raised. */
export function* gupFastUnchanged(
  ctx: Context,
  pmdAt: number,
  pmd: number,
  entryAt: number,
  entry: number,
): Coroutine<boolean> {
  // khugepaged clears the PMD only, so the PTE alone would not tell (v6.1, Z04)
  if (--ctx.quantum < 0) yield reads(pmdAt);
  if (readOnce(ctx.words, pmdAt) !== pmd) return false;
  if (entryAt === pmdAt) return true;
  if (--ctx.quantum < 0) yield reads(entryAt);
  return readOnce(ctx.words, entryAt) === entry;
}

/** Steps 6 to 8: the entries are what they were, the folio may be had, and a read-only pin would stay true. */
function* stillAllowed(
  ctx: Context,
  flags: number,
  pmdAt: number,
  pmd: number,
  entryAt: number,
  entry: number,
  head: number,
): Coroutine<boolean> {
  if (!(yield* ctx.kernel.gupFastUnchanged(ctx, pmdAt, pmd, entryAt, entry))) return false;
  // gup_fast_folio_allowed()
  if (--ctx.quantum < 0) yield reads(pageWord(ctx.m, head, PAGE_MAPPING));
  // a file's page must still be one
  const mapping = folioMapping(ctx, head);
  if (mapping === 0 || (mappingIsFile(mapping) && refusesFile(ctx, flags))) return false;
  return (entry & PTE_WRITE) !== 0 || !(yield* gupMustUnshare(ctx, flags, true, head, entryPfn(entry)));
}
