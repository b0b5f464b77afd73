/** (e) notify-under-ptl: what it closes, what it breaks at once, and the deadlock that follows (kernel-model 5 (e)). */
import { describe, expect, it } from 'vitest';
import { FOLL_LONGTERM, FOLL_WRITE, SUBSCRIBER_DRIVER, VM_HUGEPAGE, VM_MERGEABLE, VM_READ } from '#src/machine/abi.js';
import { type Context, type Coroutine, LOCK_WRITE, Probe } from '#src/machine/context.js';
import { acquires, releases } from '#src/machine/effects.js';
import { GLOBAL_DRIVER_MUTEX, globalLock } from '#src/machine/layout.js';
import { contended } from '#src/machine/wait.js';
import { LOCK_DRIVER_MUTEX, LOCK_PMD, LOCK_PTL } from '#src/locks/classes.js';
import { mutexLock, mutexUnlock } from '#src/locks/exclusive.js';
import { mmapReadLock, mmapReadUnlock, mmapWriteLock, mmapWriteUnlock } from '#src/locks/vma-lock.js';
import { DRIVER_SUBSCRIBER } from '#src/mm/driver-subscriber.js';
import { pinUserPagesFast } from '#src/mm/gup/gup.js';
import { ksmDoScan } from '#src/mm/ksm/ksm.js';
import { taskNumaWork } from '#src/mm/mempolicy.js';
import { mmuNotifierRegister } from '#src/mm/mmu-notifier.js';
import { mprotect } from '#src/mm/mprotect/mprotect.js';
import { findVma } from '#src/mm/vma/vma.js';
import { stage2Pfn } from '#src/kvm/divergence.js';
import { runToEnd, Stepped } from '../helpers/drive.js';
import { Guest } from '../kvm/guest.js';

const PAGES = 4;
const DEVICE = 2;
const BALANCER = 1;
const DRIVER = 4;

/** Notes sleeping in atomic context, and notifier starts by the spinlock they were made under. */
class AtomicProbe extends Probe {
  readonly slept: string[] = [];
  readonly under: number[] = [];
  readonly #held: number[] = [];
  override onMightSleep(_ctx: Context, what: string): void {
    this.slept.push(what);
  }
  override onAcquire(ctx: Context, _lock: number, kind: number, mode: number): void {
    if (ctx.actor === BALANCER && mode === LOCK_WRITE) this.#held.push(kind);
  }
  override onRelease(ctx: Context, _lock: number, kind: number, mode: number): void {
    if (ctx.actor === BALANCER && mode === LOCK_WRITE) this.#held.splice(this.#held.lastIndexOf(kind), 1);
  }
  override onNotifierStart(): void {
    this.under.push(this.#held.at(-1) ?? 0);
  }
}

interface World {
  readonly guest: Guest;
  readonly probe: AtomicProbe;
}

function world(policy: string, flags = 0, driver = false): World {
  const probe = new AtomicProbe();
  const guest = new Guest({ policy, probe, flags, machine: { vmPages: PAGES } });
  if (driver) {
    const ctx = guest.ctx(0);
    runToEnd(mmapWriteLock(ctx, 0), ctx);
    mmuNotifierRegister(ctx, 0, SUBSCRIBER_DRIVER, 0);
    runToEnd(mmapWriteUnlock(ctx, 0), ctx);
  }
  for (let gfn = 0; gfn < PAGES; gfn++) guest.store(gfn, 100 + gfn, 0);
  probe.under.length = 0;
  probe.slept.length = 0;
  return { guest, probe };
}

const pin = ({ guest }: World, vpn: number): void => {
  const ctx = guest.ctx(DEVICE);
  if (runToEnd(pinUserPagesFast(ctx, 0, vpn, FOLL_WRITE | FOLL_LONGTERM), ctx) < 0) throw new Error('pin');
};
const scan = ({ guest }: World): number => runToEnd(taskNumaWork(guest.ctx(BALANCER), 0), guest.ctx(BALANCER));
const mapped = ({ guest }: World): number[] => {
  const found: number[] = [];
  for (let gfn = 0; gfn < PAGES; gfn++) if (stage2Pfn(guest.m, 0, gfn) >= 0) found.push(gfn);
  return found;
};

/** A driver's worker: its mutex first, then the PTL of the page it looks up. */
function* driverWorker(ctx: Context): Coroutine {
  const mutex = globalLock(ctx.m, GLOBAL_DRIVER_MUTEX);
  yield* mmapReadLock(ctx, 0);
  if (--ctx.quantum < 0) yield acquires(mutex);
  while (!mutexLock(ctx, mutex, LOCK_DRIVER_MUTEX)) yield contended(ctx, mutex);
  const found = yield* ctx.kernel.followPagePte(ctx, 0, findVma(ctx, 0, 0), 0, 0);
  if (--ctx.quantum < 0) yield releases(mutex);
  mutexUnlock(ctx, mutex, LOCK_DRIVER_MUTEX);
  yield* mmapReadUnlock(ctx, 0);
  return found;
}

describe('the scan', () => {
  it('spares pinned pages, and announces each other page with the PTL held: LK1, LK2', () => {
    const w = world('notify-under-ptl');
    pin(w, 2);
    expect(scan(w)).toBe(3);
    expect(mapped(w)).toEqual([2]);
    expect(w.probe.under).toEqual([LOCK_PTL, LOCK_PTL, LOCK_PTL]);
    expect(w.probe.slept).toContain('mmu_notifier_invalidate_range_start');
    expect(w.guest.stale()).toEqual([]);
  });

  it('huge pages under the PMD lock', () => {
    const w = world('notify-under-ptl', VM_HUGEPAGE);
    expect(scan(w)).toBe(PAGES);
    expect(w.probe.under).toEqual([LOCK_PMD]);
    expect(mapped(w)).toEqual([]);
    const pinned = world('notify-under-ptl', VM_HUGEPAGE);
    pin(pinned, 0);
    expect(scan(pinned)).toBe(0);
    expect(mapped(pinned)).toEqual([0, 1, 2, 3]);
  });

  it('the kernel as it is does neither', () => {
    const w = world('classic', 0, true);
    scan(w);
    expect(w.probe.slept).toEqual([]);
    expect(w.probe.under).not.toContain(LOCK_PTL);
  });

  it('closes d1 against slow GUP: no pin gets in between the look and the change', () => {
    const w = world('notify-under-ptl');
    const task = new Stepped(w.guest.ctx(BALANCER), taskNumaWork(w.guest.ctx(BALANCER), 0));
    while (w.probe.under.length === 0) task.step();
    const pinner = new Stepped(
      w.guest.ctx(DEVICE),
      (function* (ctx: Context): Coroutine {
        yield* mmapReadLock(ctx, 0);
        const result = yield* ctx.kernel.pinUserPages(ctx, 0, 0, FOLL_WRITE);
        yield* mmapReadUnlock(ctx, 0);
        return result;
      })(w.guest.ctx(DEVICE)),
    );
    expect(pinner.runOn()).toBe(false);
    task.finish();
    expect(pinner.finish()).toBeGreaterThan(0);
  });

  it('does not stop GUP-fast: the pin lands under the scanner’s lock, and its stage-2 entry goes', () => {
    const w = world('notify-under-ptl');
    const task = new Stepped(w.guest.ctx(BALANCER), taskNumaWork(w.guest.ctx(BALANCER), 0));
    while (w.probe.under.length === 0) task.step();
    pin(w, 0);
    expect(mapped(w)).toContain(0);
    task.finish();
    expect(mapped(w)).not.toContain(0);
  });
});

describe('with a driver that takes a mutex in its callback', () => {
  it('the scanner sleeps for the mutex with the PTL held, and the mutex’s holder spins for the PTL: deadlock', () => {
    const w = world('notify-under-ptl', 0, true);
    const worker = new Stepped(w.guest.ctx(DRIVER), driverWorker(w.guest.ctx(DRIVER)));
    const mutex = globalLock(w.guest.m, GLOBAL_DRIVER_MUTEX);
    while (w.guest.word(mutex) === 0) worker.step();
    const task = new Stepped(w.guest.ctx(BALANCER), taskNumaWork(w.guest.ctx(BALANCER), 0));
    expect(task.runOn()).toBe(false);
    expect(worker.runOn()).toBe(false);
    expect(task.step() || worker.step()).toBe(false);
    expect(w.guest.ctx(BALANCER).cpu.preemptCount).toBe(1);
    expect(w.probe.slept).toContain('mutex_lock');
  });

  it('the kernel as it is waits without the PTL: both go on', () => {
    const w = world('classic', 0, true);
    const worker = new Stepped(w.guest.ctx(DRIVER), driverWorker(w.guest.ctx(DRIVER)));
    const mutex = globalLock(w.guest.m, GLOBAL_DRIVER_MUTEX);
    while (w.guest.word(mutex) === 0) worker.step();
    const task = new Stepped(w.guest.ctx(BALANCER), taskNumaWork(w.guest.ctx(BALANCER), 0));
    expect(task.runOn()).toBe(false);
    expect(worker.finish()).toBe(1);
    expect(task.finish()).toBe(PAGES);
    expect(w.probe.slept).toEqual([]);
  });

  it('a range that may not block finds the mutex taken: -EAGAIN', () => {
    const { guest } = world('classic', 0, true);
    const mutex = globalLock(guest.m, GLOBAL_DRIVER_MUTEX);
    const ctx = guest.ctx(DEVICE);
    const start = (): number => runToEnd(DRIVER_SUBSCRIBER.invalidateRangeStart(ctx, 0, 0, 1, 0, false), ctx);
    expect(start()).toBe(0);
    expect(mutexLock(guest.ctx(DRIVER), mutex, LOCK_DRIVER_MUTEX)).toBe(true);
    expect(start()).toBe(-11);
  });
});

it('KSM and mprotect: the first under the PTL too, the second as ever', () => {
  const w = world('notify-under-ptl', VM_MERGEABLE);
  for (let gfn = 0; gfn < PAGES; gfn++) w.guest.store(gfn, 7, 0);
  w.probe.under.length = 0;
  const ksmd = w.guest.ctx(BALANCER);
  for (let i = 0; i < 4; i++) while (runToEnd(ksmDoScan(ksmd, 64), ksmd) === 0);
  expect(w.probe.under).toContain(LOCK_PTL);
  expect(w.guest.stale()).toEqual([]);
  w.probe.under.length = 0;
  w.probe.slept.length = 0;
  const ctx = w.guest.ctx(BALANCER);
  expect(runToEnd(mprotect(ctx, 0, 0, PAGES, VM_READ), ctx)).toBe(0);
  expect(w.probe.under).not.toContain(LOCK_PTL);
  expect(w.probe.slept).toEqual([]);
});
