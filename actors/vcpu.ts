/**
 * A vCPU thread: the guest's loads and stores, one after the other. An access that hits the TLB is a single step;
 * any other walks stage 2 and faults until it is done. It replays its stream of a recorded guest, or runs a
 * synthetic workload.
 *
 *   vm, vcpu             which vCPU this is
 *   vcpus                vCPUs of the guest (boot storms share pages out among them; default 1)
 *   replay               1 = replay the recording's stream of this vCPU; 0 = synthetic
 *   window_records       replay: records it may be ahead of the slowest other vCPU; 0 = any number (default 1000)
 *   workload             synthetic: WORKLOAD_* (default uniform)
 *   first_gfn, pages     synthetic: the guest pages touched
 *   write_percent        synthetic: accesses that are writes (default 30)
 *   duplicate_percent    synthetic: writes of a content that others may hold too, out of `duplicate_kinds`
 *                        (default 0, 64)
 *   burst_accesses       accesses between two pauses, to within 64; 0 = never pauses (default 0)
 *   pause_us             microseconds of a pause (default 100)
 *   ops                  ends after so many accesses; 0 = runs on (default 0)
 */
import { EINTR } from '../src/machine/abi.js';
import { accessHit } from '../src/machine/access.js';
import { type CarriedState, type Context, type Coroutine } from '../src/machine/context.js';
import { IDLE_SLEEP, IDLE_TOP, updates } from '../src/machine/effects.js';
import { CPU_IN_USE, VCPU_REPLAY_POSITION, vcpuWord } from '../src/machine/layout.js';
import { LATENCY, STAT, countStat } from '../src/machine/stats.js';
import { idleWhile } from '../src/machine/wait.js';
import { vcpuAccess } from '../src/kvm/mmu.js';
import { peek } from '#words';
import { someContent, writeToken } from './content.js';
import { noteLatency } from './latency.js';
import { RECORD_GFN, RECORD_WRITE } from './recording-view.js';
import { Replay } from './replay.js';
import { type ActorParams, carried, carry, param } from './types.js';
import { Workload } from './workload.js';

/** Hits between two updates of the counters and signs of progress. */
const FLUSH_ACCESSES = 64;
/**
 * An access that KVM cannot complete (-EFAULT: the VMM has to act first) is tried so often before the guest goes on
 * without it.
 */
const EXIT_TRIES = 16;
const EXIT_PAUSE_US = 100;

/** The vCPU thread's loop. When it moves to another worker, the vCPU stays loaded, and goes on where it stood. */
export function* vcpu(ctx: Context, params: ActorParams, recording: SharedArrayBuffer | null): Coroutine<void> {
  const thread = new VcpuThread(ctx, params);
  if (thread.unfinished) {
    // counted where it began
    thread.misses--;
    yield* miss(ctx, thread, thread.gfn, thread.write, thread.value);
  }
  if (param(params, 'replay', 0) === 0) {
    yield* runSynthetic(ctx, thread, params);
  } else if (recording === null) {
    throw new TypeError(`vcpu ${thread.vcpu} of VM ${thread.vm} shall replay a recording, but the plan has none`);
  } else {
    const replay = new Replay(recording, thread.vm, thread.vcpu, param(params, 'window_records', 1000));
    yield* replay.enter(ctx);
    yield* runReplay(ctx, thread, replay);
    if (ctx.leaving) return thread.carry(ctx, replay.state());
    yield* replay.leave(ctx);
  }
  if (ctx.leaving) return;
  thread.flush(ctx);
  yield* ctx.kernel.vcpuPut(ctx, thread.vm, thread.vcpu);
}

/** What both loops keep: who this is, its limits, and counters that are written out once in a while. */
class VcpuThread {
  readonly vm: number;
  readonly vcpu: number;
  readonly ops: number;
  /** Accesses not yet counted, and how many of them missed the TLB. */
  pending = 0;
  misses = 0;
  /** All accesses so far. */
  done = 0;
  /** An access that KVM cannot complete yet, and the actor moves to another worker. */
  unfinished = false;
  gfn = 0;
  write = false;
  value = 0;
  readonly #params: ActorParams;
  #sincePause = 0;

  constructor(ctx: Context, params: ActorParams) {
    this.#params = params;
    this.done = carried(ctx, 'done');
    this.#sincePause = carried(ctx, 'sincePause');
    this.unfinished = carried(ctx, 'unfinished') === 1;
    this.gfn = carried(ctx, 'gfn');
    this.write = carried(ctx, 'write') === 1;
    this.value = carried(ctx, 'value');
    this.vm = param(params, 'vm', 0);
    this.vcpu = param(params, 'vcpu', 0);
    this.ops = param(params, 'ops', 0);
  }

  /** Leaves what the loop has to know on another worker, `more` included. */
  carry(ctx: Context, more: CarriedState): void {
    this.flush(ctx);
    const { done, gfn, value } = this;
    const sincePause = this.#sincePause;
    const unfinished = this.unfinished ? 1 : 0;
    carry(ctx, { ...more, done, sincePause, unfinished, gfn, value, write: this.write ? 1 : 0 });
  }

  /** Writes the counters out and shows progress. */
  flush(ctx: Context): void {
    const { m, actor } = ctx;
    if (this.pending === 0) return;
    countStat(m, actor, STAT.accesses, this.pending);
    countStat(m, actor, STAT.tlb_hits, this.pending - this.misses);
    this.#sincePause += this.pending;
    this.done += this.pending;
    this.pending = 0;
    this.misses = 0;
    ctx.probe.onProgress(ctx);
  }

  /** Whether a pause is due; begins the next burst. */
  pauses(ctx: Context): boolean {
    const burst = param(this.#params, 'burst_accesses', 0);
    if (burst === 0 || this.#sincePause < burst) return false;
    this.#sincePause = 0;
    ctx.sleepMicros = param(this.#params, 'pause_us', 100);
    return true;
  }
}

/** One access that missed the TLB: translated, faulting where it must, until it is done. */
function* miss(ctx: Context, thread: VcpuThread, gfn: number, write: boolean, value: number): Coroutine<void> {
  thread.misses++;
  thread.unfinished = false;
  const faultsAt = ctx.statsAt + STAT.stage2_faults;
  for (let tries = 0; tries < EXIT_TRIES; tries++) {
    const faults = ctx.words[faultsAt];
    const started = ctx.clock();
    const result = yield* vcpuAccess(ctx, thread.vm, thread.vcpu, gfn, write, value);
    if (ctx.words[faultsAt] !== faults) noteLatency(ctx, LATENCY.stage2_fault, started);
    if (result === 0) return;
    countStat(ctx.m, ctx.actor, STAT.guest_exits, 1);
    if (ctx.finish || result === -EINTR) return;
    ctx.sleepMicros = EXIT_PAUSE_US;
    yield IDLE_SLEEP;
    if (!ctx.leaving) continue;
    thread.unfinished = true;
    thread.gfn = gfn;
    thread.write = write;
    thread.value = value;
    return;
  }
}

function* runReplay(ctx: Context, thread: VcpuThread, replay: Replay): Coroutine<void> {
  const { stream, streamAt } = replay;
  const { vm, ops } = thread;
  const inUse = ctx.cpuAt + CPU_IN_USE;
  for (;;) {
    if (ctx.finish || (ops > 0 && thread.done + thread.pending >= ops)) return;
    if (ctx.drain) {
      thread.flush(ctx);
      yield IDLE_TOP;
      continue;
    }
    if (replay.index === replay.nextStop) {
      if (replay.passStop(ctx)) continue;
      thread.flush(ctx);
      yield* stayQuiet(ctx, thread, replay);
      return;
    }
    const at = streamAt + 2 * replay.index;
    const position = ((stream[at + 1] as number) + replay.offset) | 0;
    if (((position - replay.nextCheck) | 0) >= 0) {
      const wait = yield* replay.pace(ctx, position);
      if (wait !== 0) {
        thread.flush(ctx);
        yield wait;
        continue;
      }
    }
    const record = stream[at] as number;
    const gfn = record & RECORD_GFN;
    const write = (record & RECORD_WRITE) !== 0;
    let value = 0;
    if (write) value = replay.isCurrent(ctx, gfn) ? writeToken(ctx) : yield* replay.contentFor(ctx, gfn);
    replay.index++;
    if (--ctx.quantum < 0) yield updates(inUse);
    if (!accessHit(ctx, true, vm, gfn, write, value)) yield* miss(ctx, thread, gfn, write, value);
    if (++thread.pending >= FLUSH_ACCESSES) {
      thread.flush(ctx);
      if (thread.pauses(ctx)) yield IDLE_SLEEP;
    }
  }
}

/** A vCPU without records in the recording's loop has come to its end; it idles, and nobody waits for it. */
function* stayQuiet(ctx: Context, thread: VcpuThread, replay: Replay): Coroutine<void> {
  yield* replay.leave(ctx);
  const own = vcpuWord(ctx.m, thread.vm, thread.vcpu, VCPU_REPLAY_POSITION);
  while (!ctx.finish) yield idleWhile(ctx, own, peek(ctx.words, own));
}

function* runSynthetic(ctx: Context, thread: VcpuThread, params: ActorParams): Coroutine<void> {
  const { vm, ops } = thread;
  const workload = new Workload(
    param(params, 'workload', 0),
    param(params, 'first_gfn', 0),
    param(params, 'pages', ctx.m.vmPages),
    param(params, 'write_percent', 30),
    thread.vcpu,
    param(params, 'vcpus', 1),
  );
  workload.step = carried(ctx, 'step');
  const duplicatePercent = param(params, 'duplicate_percent', 0);
  const duplicateKinds = param(params, 'duplicate_kinds', 64);
  const inUse = ctx.cpuAt + CPU_IN_USE;
  for (;;) {
    if (ctx.finish || (ops > 0 && thread.done + thread.pending >= ops)) {
      return thread.carry(ctx, { step: workload.step });
    }
    if (ctx.drain) {
      thread.flush(ctx);
      yield IDLE_TOP;
      continue;
    }
    const access = workload.next(ctx);
    const gfn = access >> 1;
    const write = (access & 1) !== 0;
    const value = write ? someContent(ctx, duplicatePercent, duplicateKinds) : 0;
    if (--ctx.quantum < 0) yield updates(inUse);
    if (!accessHit(ctx, true, vm, gfn, write, value)) yield* miss(ctx, thread, gfn, write, value);
    if (++thread.pending >= FLUSH_ACCESSES) {
      thread.flush(ctx);
      if (thread.pauses(ctx)) yield IDLE_SLEEP;
    }
  }
}
