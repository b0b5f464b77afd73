/**
 * The host kernel reads a process's page through its own map of all memory (mm/memory.c access_remote_vm, v6.18: /proc/PID/mem,
 * ptrace, a core dump). Under protected KVM the host's stage 2 is in the way there too: a page that is a guest's own faults, and
 * nobody can map it in. What then saves the kernel is an entry in its exception table, or nothing (kernel-model 3.28; Z46).
 */
import { EFAULT, FOLL_FORCE, FOLL_GET } from '../machine/abi.js';
import { type Context, type Coroutine, REF_TEMP } from '../machine/context.js';
import { reads, updates } from '../machine/effects.js';
import { annotationOwner } from '../machine/entries.js';
import { CPU_IN_USE, PAGE_CONTENT, PAGE_HOST_S2, pageWord } from '../machine/layout.js';
import { enterAccess, leaveAccess } from '../machine/tlb.js';
import { folioOf, folioPut, isZeroPfn } from '../mm/folio.js';
import { getUserPagesUnlocked } from '../mm/gup/gup.js';
import { readOnce } from '#words';
import { hostStage2Abort } from './call-hyp.js';

/** access_remote_vm() of one page, for reading: 0 with `ctx.accessValue` set; -EFAULT (no page, or not the host's to read). */
export function* accessRemoteVm(ctx: Context, mm: number, vpn: number): Coroutine {
  const pfn = yield* getUserPagesUnlocked(ctx, mm, vpn, FOLL_GET | FOLL_FORCE);
  if (pfn < 0) return -EFAULT;
  const result = yield* pkvmKernelRead(ctx, pfn);
  if (result === 0) ctx.probe.onKernelRead(ctx, pfn, ctx.accessValue);
  if (!isZeroPfn(pfn)) yield* folioPut(ctx, folioOf(ctx, pfn), REF_TEMP);
  return result;
}

/** A load through the kernel's map under protected KVM: 0, with `ctx.accessValue` set; or what became of its abort. */
export function* pkvmKernelRead(ctx: Context, pfn: number): Coroutine {
  const { m, words } = ctx;
  const content = pageWord(m, pfn, PAGE_CONTENT);
  const host = pageWord(m, pfn, PAGE_HOST_S2);
  for (;;) {
    if (--ctx.quantum < 0) yield updates(ctx.cpuAt + CPU_IN_USE);
    enterAccess(ctx);
    if (ctx.kernel.rules.protectedKvm) {
      if (--ctx.quantum < 0) yield reads(host);
      const entry = readOnce(words, host);
      if (entry === 0 || annotationOwner(entry) !== 0) {
        leaveAccess(ctx);
        if ((yield* hostStage2Abort(ctx, pfn)) !== 0) return ctx.kernel.pkvmKernelAbort(ctx, pfn);
        continue;
      }
    }
    if (--ctx.quantum < 0) yield reads(content);
    ctx.accessValue = readOnce(words, content);
    leaveAccess(ctx);
    return 0;
  }
}

/** The abort that EL2 has injected finds an exception-table entry: the copy ends there. */
export const pkvmKernelAbort = (_ctx: Context, _pfn: number): number => -EFAULT;
