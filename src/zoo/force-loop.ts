/**
 * What Z09 and Z10 share: pin_user_pages() whose loop changes the FOLL_* flags after a write fault in a mapping that is not writable,
 * as the loop did from 2005 to v4.8 (it dropped FOLL_WRITE) and from v4.9 to v5.19 (it set FOLL_COW).
 */
import { EAGAIN, EBUSY, EFAULT, EMLINK, FOLL_GET, FOLL_PIN, FOLL_WRITE, VM_WRITE } from '../machine/abi.js';
import type { Context, Coroutine } from '../machine/context.js';
import { LOCAL } from '../machine/effects.js';
import { mmapReadLock } from '../locks/vma-lock.js';
import { checkVmaFlags } from '../mm/gup/checks.js';
import { NO_PAGE } from '../mm/gup/follow.js';
import { faultinPage, mmSetHasPinned, pinned } from '../mm/gup/gup.js';
import { findVma, vmaFlags } from '../mm/vma/vma.js';

/** @param afterFault the flags to go on with when a write fault for FOLL_FORCE has succeeded */
export function* pinForced(
  ctx: Context,
  mm: number,
  vpn: number,
  wanted: number,
  afterFault: (flags: number) => number,
): Coroutine {
  yield* mmSetHasPinned(ctx, mm);
  let flags = (wanted & ~FOLL_GET) | FOLL_PIN;
  let vma = findVma(ctx, mm, vpn);
  for (;;) {
    if (vma < 0) return -EFAULT;
    const refused = checkVmaFlags(ctx, vmaFlags(ctx, vma), flags);
    if (refused !== 0) return refused;
    // cond_resched()
    if (--ctx.quantum < 0) yield LOCAL;
    const found = yield* ctx.kernel.followPagePte(ctx, mm, vma, vpn, flags);
    if (found >= 0) {
      pinned(ctx, mm, vpn, found, wanted);
      return found;
    }
    if (found !== NO_PAGE && found !== -EMLINK) return found;
    const faulted = yield* faultinPage(ctx, mm, vma, vpn, flags, found === -EMLINK);
    if (faulted === -EBUSY || faulted === -EAGAIN) {
      yield* mmapReadLock(ctx, mm);
      vma = findVma(ctx, mm, vpn);
    } else if (faulted !== 0) {
      return faulted;
    } else if ((flags & FOLL_WRITE) !== 0 && (vmaFlags(ctx, vma) & VM_WRITE) === 0) {
      flags = afterFault(flags);
    }
  }
}
