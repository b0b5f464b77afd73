/**
 * A measuring actor: one kernel operation over and over on pages of its own. Operations come in batches; each batch is
 * timed by the host's clock, so that what prepares the next round (zapping what was faulted in, filling a guest) is not
 * in the time. What it measures stands in its statistics (MEASURED_*); it runs while MEASURED_GO says so.
 *
 *   operation            BENCH_*
 *   mm                   the process; its pages are [first_vpn, first_vpn + pages)
 *   first_vpn, pages
 *   vm, vcpu             of guest operations; guest pages have the numbers of the process's
 *   workload             WORKLOAD_*: which page is next; absent = one after the other
 *   batch                operations timed at once (default 64)
 *   write_percent        accesses that are writes (default 100)
 */
import { FAULT_FLAG_WRITE } from '../src/machine/abi.js';
import { ACCESS_DONE, accessHit, hostAccess } from '../src/machine/access.js';
import { type Context, type Coroutine, random } from '../src/machine/context.js';
import { IDLE_TOP, LOCAL, updates } from '../src/machine/effects.js';
import { CPU_IN_USE } from '../src/machine/layout.js';
import {
  MEASURED_GO,
  MEASURED_NANOS,
  MEASURED_NANOS_HIGH,
  MEASURED_OPERATIONS,
  MEASURED_STANDS,
  STATS_MEASURED_AT,
} from '../src/machine/stats.js';
import { emit } from '../src/events/emit.js';
import { EVENT } from '../src/events/table.js';
import { idleWhile } from '../src/machine/wait.js';
import { vcpuAccess } from '../src/kvm/mmu.js';
import { madviseDontneed } from '../src/mm/madvise/madvise.js';
import { doUserAddrFault } from '../src/mm/memory/memory.js';
import { readOnce, writeOnce } from '#words';
import { writeToken } from './content.js';
import { type ActorParams, param } from './types.js';
import { Workload } from './workload.js';

/** The first touch of each page: anonymous faults. The pages are zapped between two rounds, untimed. */
export const BENCH_FAULT = 0;
/** MADV_DONTNEED of one page, and its touch. */
export const BENCH_REFAULT = 1;
/** The same of a guest's page: notifiers and a stage-2 unmap, then the guest's access with its stage-2 fault. */
export const BENCH_STAGE2_REFAULT = 2;
/** The guest's loads and stores: TLB hits, walks of stage 2. */
export const BENCH_ACCESS = 3;
/** Events and nothing else: how many get through. */
export const BENCH_EVENT = 4;

/** Pages that are faulted in between two looks of the host, while a guest is filled. */
const FILL_BATCH = 256;
const TWO_32 = 4294967296;

/** One actor's task and where it stands. */
class Work {
  readonly operation: number;
  readonly mm: number;
  readonly first: number;
  readonly pages: number;
  readonly vm: number;
  readonly vcpu: number;
  readonly batch: number;
  readonly writePercent: number;
  readonly #workload: Workload | null;
  /** Where the round stands: pages below are done. */
  at = 0;
  /** Pages still to be faulted in before the first timed batch. */
  unfilled: number;
  operations = 0;
  nanos = 0;

  constructor(params: ActorParams) {
    this.operation = param(params, 'operation', BENCH_FAULT);
    this.mm = param(params, 'mm', 0);
    this.first = param(params, 'first_vpn', 0);
    this.pages = param(params, 'pages', 64);
    this.vm = param(params, 'vm', 0);
    this.vcpu = param(params, 'vcpu', 0);
    this.batch = param(params, 'batch', 64);
    this.writePercent = param(params, 'write_percent', 100);
    const kind = param(params, 'workload', -1);
    this.#workload = kind < 0 ? null : new Workload(kind, this.first, this.pages, 0, 0, 1);
    this.unfilled = this.operation === BENCH_FAULT || this.operation === BENCH_EVENT ? 0 : this.pages;
  }

  /** The next page. */
  page(ctx: Context): number {
    if (this.#workload !== null) return this.#workload.next(ctx) >> 1;
    if (this.at === this.pages) this.at = 0;
    return this.first + this.at++;
  }

  /** Adds a timed batch to what is told. */
  note(ctx: Context, operations: number, micros: number): void {
    this.operations += operations;
    this.nanos += micros * 1000;
    const at = ctx.statsAt + STATS_MEASURED_AT;
    ctx.words[at + MEASURED_OPERATIONS] = this.operations | 0;
    ctx.words[at + MEASURED_NANOS] = this.nanos | 0;
    ctx.words[at + MEASURED_NANOS_HIGH] = Math.floor(this.nanos / TWO_32);
  }
}

/** The measuring actor's loop. */
export function* bench(ctx: Context, params: ActorParams): Coroutine<void> {
  const work = new Work(params);
  const go = ctx.statsAt + STATS_MEASURED_AT + MEASURED_GO;
  const stands = ctx.statsAt + STATS_MEASURED_AT + MEASURED_STANDS;
  while (!ctx.finish) {
    if (ctx.drain) {
      yield IDLE_TOP;
      continue;
    }
    if (work.unfilled > 0) {
      yield* fillPages(ctx, work);
    } else if (readOnce(ctx.words, go) === 0) {
      // never in the middle of a batch: its time would count
      writeOnce(ctx.words, stands, 1);
      yield idleWhile(ctx, go, 0);
      writeOnce(ctx.words, stands, 0);
    } else if (work.operation === BENCH_FAULT && work.at === work.pages) {
      yield* madviseDontneed(ctx, work.mm, work.first, work.first + work.pages);
      work.at = 0;
    } else {
      const started = ctx.clock();
      const operations = yield* timedBatch(ctx, work);
      work.note(ctx, operations, ctx.clock() - started);
    }
    ctx.probe.onProgress(ctx);
    yield LOCAL;
  }
  yield* ctx.kernel.vcpuPut(ctx, work.vm, work.vcpu);
}

/** Faults some more of the pages in, the way the task will. */
function* fillPages(ctx: Context, work: Work): Coroutine<void> {
  const guest = work.operation !== BENCH_REFAULT;
  for (let n = Math.min(FILL_BATCH, work.unfilled); n > 0; n--) {
    const page = work.first + --work.unfilled;
    if (guest) yield* vcpuAccess(ctx, work.vm, work.vcpu, page, true, writeToken(ctx));
    else yield* touchPage(ctx, work.mm, page);
  }
}

/** A store by the process, with the faults it takes; no latency statistics, which read the clock. */
function* touchPage(ctx: Context, mm: number, vpn: number): Coroutine<void> {
  const value = writeToken(ctx);
  while ((yield* hostAccess(ctx, mm, vpn, true, value, false)) !== ACCESS_DONE) {
    if ((yield* doUserAddrFault(ctx, mm, vpn, FAULT_FLAG_WRITE)) !== 0)
      throw new Error(`page ${vpn} cannot be faulted in`);
  }
}

function* timedBatch(ctx: Context, work: Work): Coroutine {
  switch (work.operation) {
    case BENCH_FAULT: {
      const count = Math.min(work.batch, work.pages - work.at);
      for (let n = 0; n < count; n++) yield* touchPage(ctx, work.mm, work.page(ctx));
      return count;
    }
    case BENCH_REFAULT:
      for (let n = 0; n < work.batch; n++) {
        const page = work.page(ctx);
        yield* madviseDontneed(ctx, work.mm, page, page + 1);
        yield* touchPage(ctx, work.mm, page);
      }
      return work.batch;
    case BENCH_STAGE2_REFAULT:
      for (let n = 0; n < work.batch; n++) {
        const page = work.page(ctx);
        yield* madviseDontneed(ctx, work.mm, page, page + 1);
        if ((yield* vcpuAccess(ctx, work.vm, work.vcpu, page, true, writeToken(ctx))) !== 0) {
          throw new Error(`guest page ${page} cannot be faulted in`);
        }
      }
      return work.batch;
    case BENCH_EVENT:
      for (let n = 0; n < work.batch; n++) {
        if (--ctx.quantum < 0) yield LOCAL;
        emit(ctx, EVENT.mark, n, work.operations & 0xffff);
        ctx.task.time += ctx.tick;
      }
      return work.batch;
    default:
      return yield* guestAccesses(ctx, work);
  }
}

function* guestAccesses(ctx: Context, work: Work): Coroutine {
  const inUse = ctx.cpuAt + CPU_IN_USE;
  for (let n = 0; n < work.batch; n++) {
    const page = work.page(ctx);
    const write = random(ctx) % 100 < work.writePercent;
    const value = write ? writeToken(ctx) : 0;
    if (--ctx.quantum < 0) yield updates(inUse);
    if (!accessHit(ctx, true, work.vm, page, write, value)) {
      yield* vcpuAccess(ctx, work.vm, work.vcpu, page, write, value);
    }
  }
  return work.batch;
}
