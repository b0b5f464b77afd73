/**
 * The types that tie the rooms together: the Context that every coroutine is given (the kernel's `current`, its CPU
 * and what the engine lends it), the Kernel (the record of functions that a policy or a planted bug may replace) and
 * the Probe (what oracles hook into).
 */
import { type Machine, actorWord, cpuWord, statsBase } from './layout.js';
import { Cpu } from './current/cpu.js';
import { MmuGather } from './current/gather.js';
import { Results } from './current/results.js';
import { Task } from './current/task.js';
import type { Kernel } from './kernel-record.js';

/** A kernel function that can be interleaved: yields packed effects (effects.ts), returns its result. */
export type Coroutine<T = number> = Generator<number, T, void>;

export type { Kernel, SubscriberOps } from './kernel-record.js';
export { type KernelRules, RULES_V6_18 } from './rules.js';

/** Where kernel code writes its events; `src/events/ring.ts` implements it, an inactive one does nothing. */
export interface EventWriter {
  /** One fixed-size record: EVENT_* type, the actor, its Lamport time, four 32-bit arguments. */
  write(type: number, actor: number, time: number, a: number, b: number, c: number, d: number): void;
}

/** Why a reference is held: the holder kinds of the reference ledger (I-REF). */
export const REF_MAP = 0;
export const REF_PIN = 1;
/** folio_get of a short operation: fault, KVM, ksmd, khugepaged. */
export const REF_TEMP = 2;
export const REF_LRU_BATCH = 3;
export const REF_ISOLATED = 4;
export const REF_GATHER = 5;
/** The allocation's own first reference. */
export const REF_ALLOC = 6;
/** The page cache of a shared memory object. */
export const REF_CACHE = 7;
/** The swap cache's. */
export const REF_SWAP_CACHE = 8;

/** Lock classes: what a lock is, its kind (sleeping or spinning) and its rank are in `src/locks/classes.ts`. */
export type LockClass = number;

/** Held or acquired for reading or writing. */
export const LOCK_READ = 0;
export const LOCK_WRITE = 1;

/**
 * What oracles hook into. Every method does nothing here; an oracle subclasses it, and the engine gives each worker
 * one probe for its life, so that the calls stay monomorphic. No schedule point stands between an effect and its hook.
 * All pfn arguments are frame numbers, vpn and gfn are in pages.
 */
export class Probe {
  /** A folio of 2^order frames left the allocator with refs == 1. */
  onAlloc(_ctx: Context, _pfn: number, _order: number): void {}
  /** refs of the folio reached 0 and it goes back to the allocator (I-FREE is asserted here). */
  onFree(_ctx: Context, _pfn: number, _order: number): void {}
  /** The large folio with head `pfn` has become small folios of one page each, its tails with one REF_TEMP reference. */
  onSplit(_ctx: Context, _pfn: number): void {}
  /** refs of the folio with head `pfn` changed by `delta` on behalf of a holder kind REF_*. */
  onRef(_ctx: Context, _pfn: number, _delta: number, _holder: number): void {}
  /** refs of the folio were frozen (`frozen` > 0: their count before) or unfrozen (`frozen` = minus the new count). */
  onFreeze(_ctx: Context, _pfn: number, _frozen: number): void {}
  /** A pin call is about to return this page: (mm, vpn) -> pfn is pinned from here on (I-PIN starts). */
  onPinned(_ctx: Context, _mm: number, _vpn: number, _pfn: number): void {}
  /** The first step of an unpin of that page (I-PIN ends). */
  onUnpin(_ctx: Context, _pfn: number): void {}
  /** A FOLL_GET reference on `pfn` outlives the call that took it (1: vmsplice, direct IO), or is given back (-1). */
  onHeld(_ctx: Context, _pfn: number, _delta: number): void {}
  /** maps of subpage `pfn` changed by `delta` for `mm` at `vpn`. */
  onMap(_ctx: Context, _mm: number, _vpn: number, _pfn: number, _delta: number): void {}
  /** Somebody who holds no lock of it is about to read the entry of (mm, vpn) in `table`, found by `pmd` (I-UAFNODE). */
  onTableWalk(_ctx: Context, _mm: number, _vpn: number, _table: number): void {}
  /** A NUMA hint fault at (mm, vpn) is being counted, under the lock of its entry (I-ACCT). */
  onHintFault(_ctx: Context, _mm: number, _vpn: number): void {}
  /** ksmd goes on behind (mm, vpn): it has found no page there (I-LIVE). */
  onKsmPassed(_ctx: Context, _mm: number, _vpn: number): void {}
  /** ksmd is about to walk the VMAs of `mm`, under mmap_lock (I-UAFNODE). */
  onKsmVmaWalk(_ctx: Context, _mm: number): void {}
  /** A node of KSM's stable tree is being freed (I-UAFNODE). */
  onKsmNodeFreed(_ctx: Context, _node: number): void {}
  /** A PTE or PMD of `mm` covering `vpn` changed from `before` to `after` (words at `word`). */
  onEntry(_ctx: Context, _mm: number, _vpn: number, _word: number, _before: number, _after: number): void {}
  /** [start, end) of `mm` is going to be zapped: until `onZapEnd` its pages may hold zeroes or what they held. */
  onZapBegin(_ctx: Context, _mm: number, _start: number, _end: number): void {}
  /** It has been, TLBs included, or (`zapped` false) it was not to be: what nobody writes from here on is zero. */
  onZapEnd(_ctx: Context, _mm: number, _start: number, _end: number, _zapped: boolean): void {}
  /** A user mapping was discarded on purpose (zap, munmap): its content may now be lost (I-LOST exemption). */
  onZapped(_ctx: Context, _mm: number, _start: number, _end: number): void {}
  /** Reclaim drops the lazily freed page `pfn` from (mm, vpn), its PTE cleared: who holds a pin must have been seen (Z22). */
  onDiscarded(_ctx: Context, _mm: number, _vpn: number, _pfn: number): void {}
  /** Reclaim's batch has unmapped `pfn` from (mm, vpn) and not flushed it: TLBs may still lead there (I-COHERE). */
  onFlushDeferred(_ctx: Context, _mm: number, _vpn: number, _pfn: number): void {}
  /** Everything that the actor has unmapped so far is flushed: its batch is empty. */
  onBatchFlushed(_ctx: Context): void {}
  /** MADV_FREE of [start, end) begins: what is written there until `onLazyFreeEnd` may be lost. */
  onLazyFreeBegin(_ctx: Context, _mm: number, _start: number, _end: number): void {}
  /** MADV_FREE is done, TLBs included: what is written from here on is kept (I-LOST). */
  onLazyFreeEnd(_ctx: Context, _mm: number, _start: number, _end: number): void {}
  /** The folio with head `pfn` is lazily freed: reclaim may drop it as long as nobody writes it. */
  onLazyFree(_ctx: Context, _pfn: number): void {}
  /** mprotect of [start, end) is about to let go of mmap_lock: its pages have these VM_* flags (I-TLB). */
  onProtected(_ctx: Context, _mm: number, _start: number, _end: number, _flags: number): void {}
  /** Pages [start, end) of a shared memory object are being taken away, and are gone: zeros from then on. */
  onObjectZapBegin(_ctx: Context, _object: number, _start: number, _end: number): void {}
  onObjectZapEnd(_ctx: Context, _object: number, _start: number, _end: number): void {}
  /** fork: `child` has all of `parent`'s memory, and no CPU can write what they share any more. */
  onForked(_ctx: Context, _parent: number, _child: number): void {}
  /** A lock is about to be taken with a blocking acquisition (lock rules: order, LK1). */
  onLockAttempt(_ctx: Context, _lock: number, _class: LockClass, _mode: number): void {}
  onAcquire(_ctx: Context, _lock: number, _class: LockClass, _mode: number, _trylock: boolean): void {}
  onRelease(_ctx: Context, _lock: number, _class: LockClass, _mode: number): void {}
  /** might_sleep() was reached; `what` names the place (LK1). */
  onMightSleep(_ctx: Context, _what: string): void {}
  /** mmu_notifier_invalidate_range_start is about to run (LK2), has returned, end has run (LK3). */
  onNotifierStart(_ctx: Context, _mm: number, _start: number, _end: number, _event: number): void {}
  onNotifierStarted(_ctx: Context, _mm: number, _start: number, _end: number): void {}
  onNotifierEnd(_ctx: Context, _mm: number, _start: number, _end: number): void {}
  /** KVM's in_progress / mn_active counts changed (I-BAL). */
  onInvalidateCount(_ctx: Context, _vm: number, _inProgress: number, _active: number): void {}
  /** A stage-2 leaf for `gfn` was installed, or removed (`pages` = 1 or a whole block). */
  onStage2Map(_ctx: Context, _vm: number, _gfn: number, _pfn: number, _pages: number, _writable: boolean): void {}
  onStage2Unmap(_ctx: Context, _vm: number, _gfn: number, _pfn: number, _pages: number): void {}
  /** An installed stage-2 leaf became writable (a permission fault) or read-only (dirty logging). */
  onStage2Perm(_ctx: Context, _vm: number, _gfn: number, _pfn: number, _pages: number, _writable: boolean): void {}
  /** pin + map of pkvm_mem_abort has returned / the page was given up: the mapping's own pin (I-PINNED-S2). */
  onStage2Pinned(_ctx: Context, _vm: number, _gfn: number, _pfn: number): void {}
  onStage2Unpinned(_ctx: Context, _vm: number, _gfn: number, _pfn: number): void {}
  /** A CPU (`guest` or host access) read or wrote `content` of `pfn` through space (vm or mm) at page `page`. */
  onRead(_ctx: Context, _guest: boolean, _space: number, _page: number, _pfn: number, _content: number): void {}
  onWrite(_ctx: Context, _guest: boolean, _space: number, _page: number, _pfn: number, _content: number): void {}
  /**
   * A device is about to read or write `pfn` (I-DMA). @param register of a litmus test, which its pin is in, or -1
   */
  onDeviceAccess(_ctx: Context, _pfn: number, _register: number): void {}
  /** A pin call with FOLL_LONGTERM has returned `pfn` (I-MOVABLE). */
  onLongtermPin(_ctx: Context, _pfn: number): void {}
  /** The kernel itself has read `content` of `pfn` on behalf of somebody (I-SECRET). */
  onKernelRead(_ctx: Context, _pfn: number, _content: number): void {}
  /** A write through a pin or by a device. */
  onDeviceWrite(_ctx: Context, _pfn: number, _content: number): void {}
  /** A device, or a pipe, read `content` through a pin of `pfn`. */
  onPinRead(_ctx: Context, _pfn: number, _content: number): void {}
  /** A page's content was copied from `from` to `to` (migration, COW, collapse). */
  onCopy(_ctx: Context, _from: number, _to: number): void {}
  /** A page became read-only for everybody (KSM), or stopped being so. */
  onReadOnly(_ctx: Context, _pfn: number, _readOnly: boolean): void {}
  /** A TLB invalidation of [start, end) of tag space has completed on every CPU (I-TLB). */
  onTlbFlushed(_ctx: Context, _guest: boolean, _space: number, _start: number, _end: number): void {}
  /** EL2 changed the ownership triple of `pfn`; `host` became the owner with `wipe` demanded or not (I-OWN, I-WIPE). */
  onOwnership(_ctx: Context, _pfn: number): void {}
  /** Stage-2 table `table` left the pool (`inUse`), or is about to go back to it. */
  onStage2Table(_ctx: Context, _table: number, _inUse: boolean): void {}
  /** A fault is about to store a leaf in stage-2 table `table`. */
  onStage2Leaf(_ctx: Context, _table: number, _vm: number, _gfn: number): void {}
  onHostOwner(_ctx: Context, _pfn: number, _wipeDemanded: boolean): void {}
  /** A page moved between memcaches, pool and tables: `place` is MC_PLACE_* of hyp/memcache.ts (I-HYPMC). */
  onMemcache(_ctx: Context, _pfn: number, _from: number, _to: number): void {}
  /** mm.locked_vm changed by `delta` pages (I-ACCT). */
  onAccount(_ctx: Context, _mm: number, _delta: number): void {}
  /** A stage-2 fault is about to be handled, or has been: what it took is mapped or given back (I-REF). */
  onStage2Fault(_ctx: Context, _vm: number, _gfn: number, _begin: boolean): void {}
  /** A fault of `vm` (or of mm, vm = -1) is about to be retried without having succeeded (I-LIVE). */
  onRetry(_ctx: Context, _vm: number, _page: number): void {}
  /** The actor completed an operation. */
  onProgress(_ctx: Context): void {}
  /** An operation starts or ends, for latencies and reports: OP_* of the events table. */
  onOperation(_ctx: Context, _operation: number, _begin: boolean): void {}
  /** Another rule of the kernel was broken: a WARN_ON or BUG_ON in kernel code. `what` is five words. */
  onWarn(_ctx: Context, _invariant: string, _what: string, _pfn: number): void {}
}

/** What the blocking form of kernel code calls where the coroutine form yields; the engine lends one. */
export interface Waiter {
  /**
   * Returns when the actor may go on; `ctx.quantum` is full again.
   * @param site the number of the point in the code, from 1; absent where points have none
   */
  yielded(ctx: Context, effect: number, site?: number): void;
}

/** What an actor's loop takes along from worker to worker: plain data that survives structured clone. */
export type CarriedState = Readonly<Record<string, number | Int32Array>>;

const NO_WAITER: Waiter = {
  yielded: () => {
    throw new Error('the blocking form of kernel code runs where nobody waits for it');
  },
};

/**
 * What one actor's coroutines run in: the kernel's `current` and `smp_processor_id()`, plus what the engine lends. One object shape for
 * all actors; every field is set in the constructor.
 *
 * Three groups, by whom a field belongs to. What the worker lends stands here: it gives its own when the actor comes. What belongs
 * to the actor is `task` and `cpu`, numbers and flags, and what its loop has `carried`. Scratch of the operation under way is `gather`
 * and `out`: nothing between two operations. current/own-state.ts names the group of each field, which the compiler checks. A copy of
 * a run in the middle of an operation would have to copy `task`, `cpu`, `gather` (a list and five numbers) and `out`, and what the
 * actor has said with its effect; a coroutine's own variables stand in none of them.
 */
export class Context {
  readonly m: Machine;
  readonly words: Int32Array;
  readonly kernel: Kernel;
  readonly probe: Probe;
  readonly events: EventWriter;
  /** The actor, which is also the number of its CPU. */
  readonly actor: number;
  /** The NUMA node of its CPU. */
  readonly node: number;
  /** Its record, its CPU and its counters: word indices (layout.ts). */
  readonly recordAt: number;
  readonly cpuAt: number;
  readonly statsAt: number;
  /** Microseconds, lent by the engine for latency statistics only; always 0 in one-thread runs. */
  readonly clock: () => number;
  /** The actor's own: what it takes along. */
  readonly task: Task;
  readonly cpu = new Cpu();
  /** Of the zap under way. */
  readonly gather: MmuGather;
  /** Of kernel functions, beside the one that they return. */
  readonly out = new Results();

  // of `cpu` and of `out`, but for the hit in the TLB: that is a few loads and an exchange, and to go by the groups costs 6 % of it

  /** Own. Sequence of translated accesses: what CPU_IN_USE holds while inside one. */
  accessSequence = 0;
  /**
   * Scratch. What an access has read or replaced, `*ptr` of a load. Set by guestAccess and hostAccess where they return ACCESS_DONE
   * (machine/access.ts), and by kernelLoad where it returns 0 (mm/kernel-map.ts, kvm/kernel-access.ts). True until the actor's next access.
   */
  accessValue = 0;

  // what the worker lends and says

  waiter: Waiter = NO_WAITER;
  /** Schedule points left before the next yield; 0 in one-thread runs, so that each point yields. */
  quantum = 0;
  /** What a step adds to the actor's Lamport time, `task.time`. */
  tick = 1;
  /**
   * Whether waiters for a lock queue up, as the kernel's do (locks/queue.ts): on real threads. One thread asks for every order
   * in which they could come, each of which some queue gives. Retry loops give way to others there too.
   */
  queues = false;
  /** Set by the host at a drain: actors stop at the top of their loops. */
  drain = false;
  /** Set by the host at the end of a run: actors return at the top of their loops. */
  finish = false;
  /**
   * Set beside `finish` when the actor goes on on another worker: it returns without giving anything back, and leaves what
   * its loop has to know there in `carried`, where it finds it when it starts again.
   */
  leaving = false;
  carried: CarriedState | null = null;

  // what the actor says to its host beside the effect that it yields, true until it is resumed

  /** What it waits for, beside the yielded WAIT_* or IDLE_WORD: the value the word held. */
  waitValue = 0;
  /** Beside 0, the value of the contended lock word that is free for this actor: PENDING alone, for a writer (locks/rw.ts). */
  freeValue = 0;
  /** Turns of the loop under way when it stands at a RETRY point: the more, the longer a real thread leaves the CPU to others. */
  retries = 0;
  /** Microseconds of an IDLE_SLEEP. */
  sleepMicros = 0;

  /** @param before the actor's context of the run before, whose memory this one takes over */
  constructor(
    m: Machine,
    kernel: Kernel,
    probe: Probe,
    events: EventWriter,
    actor: number,
    node: number,
    seed: number,
    clock: () => number = noClock,
    before: Context | null = null,
  ) {
    this.m = m;
    this.words = m.words;
    this.kernel = kernel;
    this.probe = probe;
    this.events = events;
    this.actor = actor;
    this.node = node;
    this.recordAt = actorWord(m, actor, 0);
    this.cpuAt = cpuWord(m, actor, 0);
    this.statsAt = statsBase(m, actor);
    this.clock = clock;
    this.task = new Task(mixSeed(seed, actor));
    this.gather = before?.gather ?? new MmuGather();
    this.gather.count = 0;
  }
}

const noClock = (): number => 0;

/** Spreads (seed, stream) over 32 bits; never 0. */
export function mixSeed(seed: number, stream: number): number {
  let x = (seed ^ Math.imul(stream + 1, 0x9e3779b1)) | 0;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  x ^= x >>> 16;
  return x === 0 ? 1 : x;
}

/** The state after `x` of a xorshift32 sequence (Marsaglia 2003). */
export function xorshift(x: number): number {
  x ^= x << 13;
  x ^= x >>> 17;
  return x ^ (x << 5);
}

/** The actor's next random 32-bit word. */
export function random(ctx: Context): number {
  const x = xorshift(ctx.task.randomState);
  ctx.task.randomState = x;
  return x >>> 0;
}

/** A random whole number from 0 to n - 1. */
export const randomBelow = (ctx: Context, n: number): number => random(ctx) % n;
