/**
 * A machine ready to run a plan: laid out and booted, its knobs set, processes mapped, VMs created, subscribers
 * registered, and every CPU told which EL2 instance serves it. Nobody else runs yet, so each kernel function runs
 * to its end at once.
 */
import { PG_HWPOISON, PG_NO_MAP, PG_UNPINNABLE_ZONE, SUBSCRIBER_DRIVER, errnoName } from '../../machine/abi.js';
import { Context, type Coroutine, Probe } from '../../machine/context.js';
import {
  FILE_OBJECTS,
  FIX_NONE,
  KERNEL_FIX,
  KHUGEPAGED_MAX_PTES_NONE,
  KSM_SMART_SCAN,
  KSM_USE_ZERO_PAGES,
  MIGRATE_PASSES,
  MM_MEMLOCK_LIMIT,
  MM_USERS,
  Machine,
  PAGE_FLAGS,
  STATS_WORDS,
  THP_ENABLED,
  THP_USE_ZERO_PAGE,
  TLB_BATCH,
  VM_MM,
  VM_PROTECTED,
  globalWord,
  mmWord,
  pageWord,
  statsBase,
  vmWord,
} from '../../machine/layout.js';
import { sharedMachine } from '../../machine/memory.js';
import { NO_EVENTS } from '../../events/ring.js';
import { assignEl2 } from '../../kvm/call-hyp.js';
import { kvmCreateVm, kvmSetMemslot, kvmSetPinRange } from '../../kvm/vm.js';
import { mmapWriteLock, mmapWriteUnlock } from '../../locks/vma-lock.js';
import { bootMachine } from '../../mm/boot.js';
import { mmapRegion } from '../../mm/vma/mmap.js';
import { mmuNotifierRegister } from '../../mm/mmu-notifier.js';
import { runToEnd } from './driven.js';
import { resolveKernel } from './kernel.js';
import { NO_NOTES, type SetupNotes, runLitmusSetup } from './litmus-setup.js';
import type { Plan } from '../../plan/plan.js';

/**
 * Lays out and prepares the machine of a plan that runs on worker threads.
 * @throws RangeError when the plan asks for what the kernel refuses (an overlap, too many VMAs, no memory left)
 */
export function prepareMachine(plan: Plan): Machine {
  return prepareWithNotes(plan, sharedMachine(plan.machine)).machine;
}

/** As {@link prepareMachine}, in memory for one thread; with what a litmus test's set-up leaves to tell the oracles. */
export function prepareWithNotes(
  plan: Plan,
  m = new Machine(plan.machine),
): { readonly machine: Machine; readonly notes: SetupNotes } {
  markFrames(m, plan);
  bootMachine(m);
  setKnobs(m, plan);
  const ctx = new Context(
    m,
    resolveKernel(plan.kernel),
    new Probe(),
    NO_EVENTS,
    0,
    plan.machine.cpuNodes[0] ?? 0,
    plan.seed,
  );
  ctx.tick = 0;
  for (const { mm, start, pages, flags } of plan.mappings) {
    expectOk(
      `mapping of ${pages} pages at ${start} of process ${mm}`,
      runToEnd(ctx, mmapRegion(ctx, mm, start, pages, flags), 'set-up'),
    );
  }
  plan.vms.forEach((spec, vm) => {
    const isProtected = spec.protected && ctx.kernel.rules.protectedKvm;
    if (spec.unborn === true) {
      // what create_vm finds (actors/litmus/kvm.ts)
      m.words[vmWord(m, vm, VM_MM)] = spec.mm;
      m.words[vmWord(m, vm, VM_PROTECTED)] = isProtected ? 1 : 0;
      return;
    }
    expectOk(`VM ${vm}`, runToEnd(ctx, kvmCreateVm(ctx, vm, spec.mm, isProtected), 'set-up'));
    if (spec.pinRange !== undefined) kvmSetPinRange(m, vm, ...spec.pinRange);
    spec.slots.forEach(({ baseGfn, pages, vpn, flags, id }, place) => {
      const slot = id ?? place;
      expectOk(
        `slot ${slot} of VM ${vm}`,
        runToEnd(ctx, kvmSetMemslot(ctx, vm, slot, baseGfn, pages, vpn, flags), 'set-up'),
      );
    });
  });
  countUsers(m, plan);
  if (plan.driverSubscriber) runToEnd(ctx, registerDriver(ctx), 'set-up');
  assignEl2(
    m,
    plan.actors.flatMap(({ kind }, cpu) => (kind === 'el2' ? [cpu] : [])),
  );
  // what set-up counted is nobody's doing
  m.words.fill(0, statsBase(m, 0), statsBase(m, 0) + STATS_WORDS);
  const notes = plan.litmus === undefined ? NO_NOTES : runLitmusSetup(m, plan, plan.litmus);
  return { machine: m, notes };
}

function expectOk(what: string, result: number): void {
  if (result < 0) throw new RangeError(`${what}: ${errnoName(result)}`);
}

/** Broken frames and zones belong to the frames: they are there before the first free list. */
function markFrames(m: Machine, plan: Plan): void {
  const mark = (pfn: number, flag: number): void => {
    m.words[pageWord(m, pfn, PAGE_FLAGS)] = (m.words[pageWord(m, pfn, PAGE_FLAGS)] as number) | flag;
  };
  for (const pfn of plan.poisonedFrames) mark(pfn, PG_HWPOISON);
  for (const [from, to] of plan.unpinnableFrames) for (let pfn = from; pfn < to; pfn++) mark(pfn, PG_UNPINNABLE_ZONE);
  for (const [from, to] of plan.noMapFrames ?? []) for (let pfn = from; pfn < to; pfn++) mark(pfn, PG_NO_MAP);
}

function setKnobs(m: Machine, plan: Plan): void {
  const { ksmSmartScan, ksmUseZeroPages, thpEnabled, maxPtesNone, thpUseZeroPage } = plan.knobs;
  const { tlbBatch = true, kernelFix = FIX_NONE, migratePasses = 10, fileObjects = false } = plan.knobs;
  // before v4.3 there is none
  m.words[globalWord(m, TLB_BATCH)] = tlbBatch && resolveKernel(plan.kernel).rules.tlbBatch ? 1 : 0;
  m.words[globalWord(m, KERNEL_FIX)] = kernelFix;
  m.words[globalWord(m, FILE_OBJECTS)] = fileObjects ? 1 : 0;
  m.words[globalWord(m, MIGRATE_PASSES)] = migratePasses;
  m.words[globalWord(m, KSM_SMART_SCAN)] = ksmSmartScan ? 1 : 0;
  m.words[globalWord(m, KSM_USE_ZERO_PAGES)] = ksmUseZeroPages ? 1 : 0;
  m.words[globalWord(m, THP_ENABLED)] = thpEnabled;
  m.words[globalWord(m, THP_USE_ZERO_PAGE)] = thpUseZeroPage === true ? 1 : 0;
  m.words[globalWord(m, KHUGEPAGED_MAX_PTES_NONE)] = Math.min(maxPtesNone, m.thpPages - 1);
  plan.memlockPages.forEach((pages, mm) => (m.words[mmWord(m, mm, MM_MEMLOCK_LIMIT)] = pages));
}

/** mm_users: threads share their process's mm, and some of the kernel's tests ask whether there is more than one. */
function countUsers(m: Machine, plan: Plan): void {
  for (let mm = 0; mm < m.mms; mm++) {
    const threads = plan.actors.filter(({ kind, params }) =>
      kind === 'vcpu' ? plan.vms[params['vm'] ?? 0]?.mm === mm : params['mm'] === mm,
    );
    if (threads.length > 1) m.words[mmWord(m, mm, MM_USERS)] = threads.length;
  }
}

function* registerDriver(ctx: Context): Coroutine<void> {
  yield* mmapWriteLock(ctx, 0);
  mmuNotifierRegister(ctx, 0, SUBSCRIBER_DRIVER, 0);
  yield* mmapWriteUnlock(ctx, 0);
}
