/**
 * A DMA user: a driver that pins user pages for long (FOLL_PIN | FOLL_LONGTERM | FOLL_WRITE, as VFIO, RDMA and
 * io_uring buffers do) and whose device writes through the pins, knowing nothing of page tables. Short-lived
 * batches come from a ring of buffers that is used over and over, long-lived ones from anywhere; a new batch that
 * finds its queue full releases the oldest there.
 *
 *   mm                   the process whose pages it pins
 *   first_vpn, pages     where
 *   ring_first_vpn, ring_pages
 *                        where the short-lived batches come from (default: the same)
 *   follow_percent       short-lived batches that are pinned where scanners are at work (scanners.ts), as direct I/O pins: FOLL_PIN
 *                        without FOLL_LONGTERM, given back by the next such operation (default 0)
 *   batch_pages          consecutive pages pinned at once (default 8)
 *   hold_batches         batches of the short queue: with pause_us, how long a pin lives (default 16)
 *   long_every           every n-th batch goes to the long queue; 0 = none (default 8)
 *   long_batches         batches of the long queue (default 64)
 *   write_percent        operations in which the device writes its newest batch (default 50)
 *   duplicate_percent    writes of a content that others may hold too, out of `duplicate_kinds` (default 30, 64)
 *   pause_us             microseconds between two operations (default 1000)
 *   ops                  ends after so many operations; 0 = runs on (default 0)
 */
import { FOLL_LONGTERM, FOLL_PIN, FOLL_WRITE } from '../src/machine/abi.js';
import { type CarriedState, type Context, type Coroutine, randomBelow } from '../src/machine/context.js';
import { IDLE_SLEEP, IDLE_TOP, writes } from '../src/machine/effects.js';
import { PAGE_CONTENT, pageWord } from '../src/machine/layout.js';
import { LATENCY } from '../src/machine/stats.js';
import { pinUserPagesFast } from '../src/mm/gup/gup.js';
import { ZERO_PFN } from '../src/mm/folio.js';
import { xchg } from '#words';
import { someContent } from './content.js';
import { noteLatency } from './latency.js';
import { scannedPage } from './scanners.js';
import { type ActorParams, carried, carry, param } from './types.js';

/** Pages of a batch that follows a scanner: few, since each is made accessible by being pinned, and the scanner changes it again. */
const FOLLOW_PAGES = 4;

/** Pins held, in batches of equal room: pfns, oldest batch first, in a ring. */
class PinQueue {
  readonly pfns: Int32Array;
  readonly room: number;
  readonly batches: number;
  /** Pages of each batch. */
  readonly lengths: Int32Array;
  head = 0;
  count = 0;

  constructor(batches: number, room: number) {
    this.batches = batches;
    this.room = room;
    this.pfns = new Int32Array(batches * room);
    this.lengths = new Int32Array(batches);
  }

  /** What another worker needs to go on with these pins, under names that begin with `name`. */
  state(name: string): CarriedState {
    return {
      [`${name}Pfns`]: this.pfns,
      [`${name}Lengths`]: this.lengths,
      [`${name}Head`]: this.head,
      [`${name}Count`]: this.count,
    };
  }

  /** Goes on with the pins that an actor has brought from another worker, if any. */
  restore(ctx: Context, name: string): this {
    const pfns = ctx.carried?.[`${name}Pfns`];
    const lengths = ctx.carried?.[`${name}Lengths`];
    if (pfns instanceof Int32Array && lengths instanceof Int32Array) {
      this.pfns.set(pfns);
      this.lengths.set(lengths);
      this.head = carried(ctx, `${name}Head`);
      this.count = carried(ctx, `${name}Count`);
    }
    return this;
  }

  /** The batch `age` places behind the oldest. */
  at(age: number): number {
    return (this.head + age) % this.batches;
  }
}

/** The DMA user's loop. At its end it releases what it still holds; when it moves to another worker, the pins go along. */
export function* dma(ctx: Context, params: ActorParams): Coroutine<void> {
  const mm = param(params, 'mm', 0);
  const first = param(params, 'first_vpn', 0);
  const pages = param(params, 'pages', ctx.m.mmPages);
  const ringFirst = param(params, 'ring_first_vpn', first);
  const ringPages = param(params, 'ring_pages', pages);
  const batchPages = Math.min(pages, ringPages, param(params, 'batch_pages', 8));
  const longEvery = param(params, 'long_every', 8);
  const ops = param(params, 'ops', 0);
  const short = new PinQueue(param(params, 'hold_batches', 16), batchPages).restore(ctx, 'short');
  const longRoom = longEvery === 0 ? 1 : param(params, 'long_batches', 64);
  const long = new PinQueue(longRoom, batchPages).restore(ctx, 'long');
  const followPages = Math.min(batchPages, FOLLOW_PAGES);
  const follow = new PinQueue(1, followPages).restore(ctx, 'follow');
  let done = carried(ctx, 'done');
  while (ops === 0 || done < ops) {
    if (ctx.finish) break;
    if (ctx.drain) {
      yield IDLE_TOP;
      continue;
    }
    const isLong = longEvery > 0 && done % longEvery === longEvery - 1;
    const follows = !isLong && randomBelow(ctx, 100) < param(params, 'follow_percent', 0);
    const queue = isLong ? long : follows ? follow : short;
    const isFull = queue.count === queue.batches;
    if (isFull) yield* unpinOldest(ctx, queue);
    // direct I/O comes and goes: what one such operation pins the next one gives back
    if (!isFull || !follows) {
      const length = follows ? followPages : batchPages;
      const scanned = follows ? yield* scannedPage(ctx, mm) : -1;
      const start =
        scanned >= first && scanned < first + pages
          ? Math.min(Math.max(first, scanned - randomBelow(ctx, length)), first + pages - length)
          : isLong
            ? first + randomBelow(ctx, pages - batchPages + 1)
            : ringFirst + randomBelow(ctx, ringPages - batchPages + 1);
      yield* pinBatch(ctx, queue, mm, start, length, follows ? 0 : FOLL_LONGTERM);
      if (randomBelow(ctx, 100) < param(params, 'write_percent', 50)) yield* deviceWrites(ctx, queue, params);
    }
    ctx.probe.onProgress(ctx);
    done++;
    ctx.sleepMicros = param(params, 'pause_us', 1000);
    yield IDLE_SLEEP;
  }
  if (ctx.leaving) {
    return carry(ctx, { done, ...short.state('short'), ...long.state('long'), ...follow.state('follow') });
  }
  while (short.count > 0) yield* unpinOldest(ctx, short);
  while (long.count > 0) yield* unpinOldest(ctx, long);
  while (follow.count > 0) yield* unpinOldest(ctx, follow);
}

/** Pins [start, start + length) as a new batch; a batch is short when a page cannot be pinned. */
function* pinBatch(
  ctx: Context,
  queue: PinQueue,
  mm: number,
  start: number,
  length: number,
  longterm: number,
): Coroutine<void> {
  const batch = queue.at(queue.count++);
  const at = batch * queue.room;
  queue.lengths[batch] = 0;
  for (let i = 0; i < length; i++) {
    const started = ctx.clock();
    const pfn = yield* pinUserPagesFast(ctx, mm, start + i, FOLL_PIN | FOLL_WRITE | longterm);
    noteLatency(ctx, LATENCY.pin, started);
    if (pfn < 0) return;
    ctx.probe.onLongtermPin(ctx, pfn);
    queue.pfns[at + i] = pfn;
    queue.lengths[batch] = i + 1;
  }
}

/** The device writes every page of the newest batch. It is not translated, and no page table is marked dirty. */
function* deviceWrites(ctx: Context, queue: PinQueue, params: ActorParams): Coroutine<void> {
  const batch = queue.at(queue.count - 1);
  const length = queue.lengths[batch] as number;
  for (let i = 0; i < length; i++) {
    const pfn = queue.pfns[batch * queue.room + i] as number;
    if (pfn === ZERO_PFN) continue;
    const content = someContent(ctx, param(params, 'duplicate_percent', 30), param(params, 'duplicate_kinds', 64));
    const word = pageWord(ctx.m, pfn, PAGE_CONTENT);
    if (--ctx.quantum < 0) yield writes(word);
    ctx.probe.onDeviceAccess(ctx, pfn, -1);
    xchg(ctx.words, word, content);
    ctx.probe.onDeviceWrite(ctx, pfn, content);
  }
}

/** unpin_user_pages_dirty_lock() of the oldest batch. */
function* unpinOldest(ctx: Context, queue: PinQueue): Coroutine<void> {
  const batch = queue.at(0);
  const length = queue.lengths[batch] as number;
  for (let i = 0; i < length; i++) {
    const started = ctx.clock();
    yield* ctx.kernel.unpinUserPage(ctx, queue.pfns[batch * queue.room + i] as number, true);
    noteLatency(ctx, LATENCY.unpin, started);
  }
  queue.head = queue.at(1);
  queue.count--;
}
