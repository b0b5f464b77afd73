/**
 * I-LOCKORD: the lock rules LK1 to LK9 of kernel-model 2.2, each asserted where it can be broken: at a blocking acquisition, at
 * might_sleep(), at a notifier call, at a mapcount change. Trylocks are exempt from order, as they never wait.
 *
 *   LK1 sleeping with a spinlock held or interrupts off      LK6 waiting for a lock that the actor holds itself
 *   LK2 a notifier start under PTL or PMD lock               LK7 waiting for a second folio lock
 *   LK3 starts and ends not in pairs, by one task            LK8 EL2 and the host taking each other's locks
 *   LK4 a memslot swap inside a start..end                   LK9 a mapcount changed without its table's lock
 *   LK5 a notifier callback that takes mmap_lock or slots_lock
 *
 * LK10 (a page table freed under GUP-fast) is the checking build's: machine/words/words-checked.ts sees the access.
 * State is per actor and belongs to the worker that hosts it; an actor moves only between operations, when it is empty.
 */
import { type Context, LOCK_READ } from '../../machine/context.js';
import {
  type Machine,
  TABLE_MM,
  TABLE_PMD,
  VM_MEMSLOTS,
  VM_MM,
  pmdLockOf,
  pmdWord,
  tableWord,
  vmWord,
} from '../../machine/layout.js';
import {
  LOCK_CLASSES,
  LOCK_ANON_VMA,
  LOCK_FOLIO,
  LOCK_I_MMAP,
  LOCK_MMAP,
  LOCK_MMU,
  LOCK_PMD,
  LOCK_PTL,
  LOCK_SLOTS,
  lockClass,
} from '../../locks/classes.js';
import { look as peek } from '#words';
import { heldLock, heldPacked } from '../view.js';
import type { ViolationLog } from '../violation.js';

const LK = 'I-LOCKORD';

/** start..end windows that one task can have open at once; more are not followed. */
const WINDOWS_MAX = 16;
/** mm, start, end; and which memslot set was active in each VM of the mm. */
const WINDOW_WORDS = 4;
const WINDOW_MM = 0;
const WINDOW_START = 1;
const WINDOW_END = 2;
const WINDOW_SLOTS = 3;

/** down_write_nest_lock(): mm_take_all_locks() takes many of these, which mmap_lock keeps in order. */
const nestsUnderMmapLock = (kind: number): boolean => kind === LOCK_ANON_VMA || kind === LOCK_I_MMAP;

const RANK = Int32Array.from(LOCK_CLASSES, ({ rank }) => rank);
const IS_EL2 = Uint8Array.from(LOCK_CLASSES, ({ el2 }) => (el2 ? 1 : 0));

/** VMs of which the active memslot sets are followed (two bits each). */
const VMS_FOLLOWED = 15;

export class LockRules {
  readonly #m: Machine;
  readonly #log: ViolationLog;
  readonly #windows: Int32Array;
  readonly #open: Uint8Array;
  /** Inside invalidate_range_start: locks held when it began + 1, 0 = not inside. */
  readonly #inStart: Int32Array;

  constructor(m: Machine, log: ViolationLog) {
    this.#m = m;
    this.#log = log;
    this.#windows = new Int32Array(m.cpus * WINDOWS_MAX * WINDOW_WORDS);
    this.#open = new Uint8Array(m.cpus);
    this.#inStart = new Int32Array(m.cpus);
  }

  reset(): void {
    this.#open.fill(0);
    this.#inStart.fill(0);
  }

  /** A blocking attempt. Nothing is wrong with the first lock of an actor, but EL2 and its locks. */
  attempt(ctx: Context, lock: number, kind: number, mode: number): void {
    if ((IS_EL2[kind] === 1) !== ctx.cpu.atEl2) this.#foreign(ctx, lock, kind);
    if (ctx.task.heldCount > 0) this.#nested(ctx, lock, kind, mode);
  }

  #nested(ctx: Context, lock: number, kind: number, mode: number): void {
    const rank = RANK[kind] as number;
    for (let i = ctx.task.heldCount - 1; i >= 0; i--) {
      const held = heldPacked(ctx, i) >> 4;
      if (heldLock(ctx, i) === lock) {
        const upgrade = mode !== LOCK_READ && (heldPacked(ctx, i) & 15) === LOCK_READ;
        const what = upgrade ? 'LK6 read lock upgraded to write' : 'LK6 waits for its own lock';
        this.#log.report(ctx, LK, what, {
          lock,
          expected: 'a lock that it does not hold',
          received: lockClass(kind).name,
        });
      } else if (held === kind) {
        if (nestsUnderMmapLock(kind) && this.#holdsMmapWrite(ctx)) continue;
        if (kind === LOCK_FOLIO) this.#log.report(ctx, LK, 'LK7 waits for second folio lock', { lock });
        else this.#disorder(ctx, lock, kind, held);
      } else if ((RANK[held] as number) > rank) {
        this.#disorder(ctx, lock, kind, held);
      }
    }
    if ((kind === LOCK_MMAP || kind === LOCK_SLOTS) && (this.#inStart[ctx.actor] as number) > 0) {
      this.#log.report(ctx, LK, 'LK5 notifier callback takes lock', { lock, received: lockClass(kind).name });
    }
  }

  #holdsMmapWrite(ctx: Context): boolean {
    for (let i = 0; i < ctx.task.heldCount; i++) {
      const packed = heldPacked(ctx, i);
      if (packed >> 4 === LOCK_MMAP && (packed & 15) !== LOCK_READ) return true;
    }
    return false;
  }

  #disorder(ctx: Context, lock: number, kind: number, held: number): void {
    const ptl = held === LOCK_PTL || held === LOCK_PMD;
    const what = kind === LOCK_MMU && ptl ? 'order: mmu_lock under PTL' : 'order: outer lock taken inside';
    this.#log.report(ctx, LK, what, {
      lock,
      expected: `${lockClass(kind).name} before ${lockClass(held).name}`,
      received: `${lockClass(kind).name} while holding it`,
    });
  }

  #foreign(ctx: Context, lock: number, kind: number): void {
    const what = ctx.cpu.atEl2 ? 'LK8 EL2 takes host lock' : 'LK8 host takes EL2 lock';
    this.#log.report(ctx, LK, what, { lock, received: lockClass(kind).name });
  }

  /** A trylock has succeeded: it waited for nobody, but EL2 and the host may not have each other's locks that way either. */
  acquired(ctx: Context, lock: number, kind: number): void {
    if ((IS_EL2[kind] === 1) !== ctx.cpu.atEl2) this.#foreign(ctx, lock, kind);
  }

  /** The lock is about to go. A start that failed (-EAGAIN) is over at the latest when an outer lock of its goes. */
  released(ctx: Context): void {
    const outer = this.#inStart[ctx.actor] as number;
    if (outer > 0 && ctx.task.heldCount < outer) this.#inStart[ctx.actor] = 0;
  }

  /** Called only with a spinlock held or interrupts off. */
  mightSleep(ctx: Context, what: string): void {
    const why = ctx.cpu.irqsOff ? 'LK1 sleeps with interrupts off' : 'LK1 sleeps holding a spinlock';
    this.#log.report(ctx, LK, why, { received: what, expected: 'preempt_count 0 and interrupts on' });
  }

  notifierStart(ctx: Context, mm: number, start: number): void {
    for (let i = 0; i < ctx.task.heldCount; i++) {
      const kind = heldPacked(ctx, i) >> 4;
      if (kind !== LOCK_PTL && kind !== LOCK_PMD) continue;
      this.#log.report(ctx, LK, 'LK2 notifier start under PTL', { lock: heldLock(ctx, i), mm, vpn: start });
      break;
    }
    this.#inStart[ctx.actor] = ctx.task.heldCount + 1;
  }

  notifierStarted(ctx: Context, mm: number, start: number, end: number): void {
    this.#inStart[ctx.actor] = 0;
    const open = this.#open[ctx.actor] as number;
    this.#open[ctx.actor] = Math.min(255, open + 1);
    if (open >= WINDOWS_MAX) return;
    const at = this.#windowAt(ctx.actor, open);
    this.#windows[at + WINDOW_MM] = mm;
    this.#windows[at + WINDOW_START] = start;
    this.#windows[at + WINDOW_END] = end;
    this.#windows[at + WINDOW_SLOTS] = this.#activeSlots(mm);
  }

  notifierEnd(ctx: Context, mm: number, start: number, end: number): void {
    const open = this.#open[ctx.actor] as number;
    if (open > WINDOWS_MAX) {
      this.#open[ctx.actor] = open - 1;
      return;
    }
    // the newest first: windows nest
    for (let i = open - 1; i >= 0; i--) {
      const at = this.#windowAt(ctx.actor, i);
      const ours =
        this.#windows[at + WINDOW_MM] === mm &&
        this.#windows[at + WINDOW_START] === start &&
        this.#windows[at + WINDOW_END] === end;
      if (!ours) continue;
      // a call that V8 does not compile: not for the window opened last, which mostly closes first
      if (i < open - 1) this.#windows.copyWithin(at, at + WINDOW_WORDS, this.#windowAt(ctx.actor, open));
      this.#open[ctx.actor] = open - 1;
      return;
    }
    this.#log.report(ctx, LK, 'LK3 notifier end without start', { mm, vpn: start, received: `end(${start}, ${end})` });
  }

  /**
   * The counts of `vm` changed, under its locks. From a task's start to its end mn_active_invalidate_count is above 0, for
   * which a memslot swap waits (LK4); this is called a last time in the step that lowers it.
   */
  countsChanged(ctx: Context, vm: number): void {
    const open = Math.min(WINDOWS_MAX, this.#open[ctx.actor] as number);
    if (open === 0 || vm >= VMS_FOLLOWED) return;
    const mm = peek(this.#m.words, vmWord(this.#m, vm, VM_MM));
    const shift = 2 * vm;
    const now = (this.#activeSlots(mm) >> shift) & 3;
    for (let i = 0; i < open; i++) {
      const at = this.#windowAt(ctx.actor, i);
      const slots = this.#windows[at + WINDOW_SLOTS] as number;
      if (this.#windows[at + WINDOW_MM] !== mm || ((slots >> shift) & 3) === now) continue;
      this.#windows[at + WINDOW_SLOTS] = (slots & ~(3 << shift)) | (now << shift);
      this.#log.report(ctx, LK, 'LK4 memslots swapped inside window', {
        vm,
        mm,
        vpn: this.#windows[at + WINDOW_START] as number,
      });
    }
  }

  /** The active set of each VM on `mm`: 0 = not its VM, 1 or 2. */
  #activeSlots(mm: number): number {
    const m = this.#m;
    let sets = 0;
    for (let vm = Math.min(m.vms, VMS_FOLLOWED) - 1; vm >= 0; vm--) {
      const theirs = peek(m.words, vmWord(m, vm, VM_MM)) === mm;
      sets = (sets << 2) | (theirs ? 1 + (peek(m.words, vmWord(m, vm, VM_MEMSLOTS)) & 1) : 0);
    }
    return sets;
  }

  /** LK9: the PTL of the table that maps (mm, vpn), or its PMD lock, is held. A page that nobody sees yet needs none. */
  mapcountChanged(ctx: Context, mm: number, vpn: number, pfn: number): void {
    const m = this.#m;
    const pmd = pmdWord(m, mm, vpn);
    for (let i = ctx.task.heldCount - 1; i >= 0; i--) {
      const kind = heldPacked(ctx, i) >> 4;
      const lock = heldLock(ctx, i);
      if (kind === LOCK_PMD && lock === pmdLockOf(m, mm, vpn)) return;
      if (kind !== LOCK_PTL) continue;
      const table = ((lock - m.tablesAt) / m.tableWords) | 0;
      // by what the table says of itself: khugepaged has taken it out of the tree
      if (peek(m.words, tableWord(m, table, TABLE_MM)) === mm && peek(m.words, tableWord(m, table, TABLE_PMD)) === pmd)
        return;
    }
    this.#log.report(ctx, LK, 'LK9 mapcount changed without PTL', { mm, vpn, pfn });
  }

  /** The actor's operation is over: nothing of it may be open. */
  operationEnded(ctx: Context): void {
    if (this.#open[ctx.actor] === 0) return;
    const at = this.#windowAt(ctx.actor, 0);
    this.#open[ctx.actor] = 0;
    this.#log.report(ctx, LK, 'LK3 notifier start without end', {
      mm: this.#windows[at + WINDOW_MM] as number,
      vpn: this.#windows[at + WINDOW_START] as number,
    });
  }

  #windowAt(actor: number, i: number): number {
    return (actor * WINDOWS_MAX + i) * WINDOW_WORDS;
  }
}
