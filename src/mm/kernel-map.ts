/**
 * The kernel's own loads of pages (kmap_local_page: its map of all memory). Under protected KVM the host's stage 2 is in the way there
 * too, and a page that is a guest's own aborts (kernel-model 3.28): whoever copies it must be able to fail, so that nothing of a
 * guest's ever comes into a page of the host's. What the design of 2022 has at such a place is an oops, unless the copy has an
 * entry in the exception table; here every copy has one.
 */
import type { Context, Coroutine } from '../machine/context.js';
import { reads } from '../machine/effects.js';
import { PAGE_CONTENT, pageWord } from '../machine/layout.js';
import { readOnce } from '#words';

/** Loads what page `pfn` holds into `ctx.accessValue`. Returns 0, or -EFAULT: it is a protected guest's. */
export function* kernelLoad(ctx: Context, pfn: number): Coroutine {
  if (ctx.kernel.rules.protectedKvm) return yield* ctx.kernel.pkvmKernelRead(ctx, pfn);
  const content = pageWord(ctx.m, pfn, PAGE_CONTENT);
  if (--ctx.quantum < 0) yield reads(content);
  ctx.accessValue = readOnce(ctx.words, content);
  return 0;
}
