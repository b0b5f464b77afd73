/** The zoo, in the order of the kernel model's section 6. */
import type { Bug } from './bug.js';
import { z01EarlyCheck } from './z01-early-check.js';
import { z01NoBegin } from './z01-no-begin.js';
import { z01NoRetry } from './z01-no-retry.js';
import { z01NoSeq } from './z01-no-seq.js';
import { z01 } from './z01-seq-after-unlock.js';
import { z03 } from './z03-collapse-vs-gup-fast.js';
import { z04 } from './z04-gup-fast-vs-collapse.js';
import { z05 } from './z05-rmap-unlocked.js';
import { z06 } from './z06-exclusive-after-pte.js';
import { z07 } from './z07-swap-out-then-cow.js';
import { z08 } from './z08-numa-hint-then-cow.js';
import { z09 } from './z09-force-drops-write.js';
import { z10 } from './z10-huge-zero-dirty.js';
import { z12 } from './z12-reuse-by-mapcount.js';
import { z13 } from './z13-gup-fast-vs-fork.js';
import { z14 } from './z14-fork-shares-pinned.js';
import { z15 } from './z15-dontneed-vs-numa.js';
import { z16 } from './z16-copy-then-notify.js';
import { z18 } from './z18-flush-pending.js';
import { z18Nested } from './z18-nested-zaps.js';
import { z19 } from './z19-batched-unmap.js';
import { z21 } from './z21-double-swap-in.js';
import { z22 } from './z22-discard-pinned.js';
import { z25 } from './z25-no-refcount.js';
import { z26 } from './z26-memslot-swap.js';
import { z28 } from './z28-running-phys.js';
import { z29 } from './z29-stale-descent.js';
import { z30Charge } from './z30-charge.js';
import { z30 } from './z30-eio-leak.js';
import { z31 } from './z31-dying-mm.js';
import { z32 } from './z32-ksm-skips-hints.js';
import { z34 } from './z34-late-handle.js';
import { z35 } from './z35-no-table.js';
import { z35Share } from './z35-share.js';
import { z36 } from './z36-read-twice.js';
import { z36Unchecked } from './z36-unchecked.js';
import { z37 } from './z37-not-memory.js';
import { z37Reclaim } from './z37-reclaim.js';
import { z38 } from './z38-no-map.js';
import { z39 } from './z39-range.js';
import { z40 } from './z40-account.js';
import { z41 } from './z41-wrong-mm.js';
import { z42Live } from './z42-live.js';
import { z42NoPin } from './z42-no-pin.js';
import { z42 } from './z42-unpin-first.js';
import { z43Guest } from './z43-guest.js';
import { z43 } from './z43-lazy-tlbi.js';
import { z43Logging } from './z43-logging.js';
import { z43Unshare } from './z43-unshare.js';
import { z43Vmid } from './z43-vmid.js';
import { z43Wrprotect } from './z43-wrprotect.js';
import { z44LateWipe } from './z44-late-wipe.js';
import { z44NoWipe } from './z44-no-wipe.js';
import { z44 } from './z44-wipe-first.js';
import { z45 } from './z45-eperm-livelock.js';
import { z46 } from './z46-host-touch.js';
import { z47 } from './z47-no-retry.js';
import { z48 } from './z48-check-then-do.js';
import { z48ShareHyp } from './z48-share-hyp.js';
import { z49 } from './z49-shared-elsewhere.js';
import { z49Unshare } from './z49-unshare.js';
import { z50 } from './z50-keyhole.js';
import { z52 } from './z52-early-exit.js';
import { z53 } from './z53-stale-hint.js';
import { z54 } from './z54-fork-loses-dirty.js';
import { z55 } from './z55-numa-bad-pmd.js';
import { z56 } from './z56-retry-in-srcu.js';
import { z57 } from './z57-same-entry-again.js';
import { z58 } from './z58-slot-end.js';
import { z59 } from './z59-pins-in-movable.js';
import { z60 } from './z60-unpin-before-dma.js';
import { z61 } from './z61-copy-of-secret.js';

export const BUGS: readonly Bug[] = [
  z01,
  z01EarlyCheck,
  z01NoBegin,
  z01NoRetry,
  z01NoSeq,
  z03,
  z04,
  z05,
  z06,
  z07,
  z08,
  z09,
  z10,
  z12,
  z13,
  z14,
  z15,
  z16,
  z18,
  z18Nested,
  z19,
  z21,
  z22,
  z25,
  z26,
  z28,
  z29,
  z30,
  z30Charge,
  z31,
  z32,
  z34,
  z35,
  z35Share,
  z36,
  z36Unchecked,
  z37,
  z37Reclaim,
  z38,
  z39,
  z40,
  z41,
  z42,
  z42Live,
  z42NoPin,
  z43,
  z43Guest,
  z43Logging,
  z43Unshare,
  z43Vmid,
  z43Wrprotect,
  z44,
  z44LateWipe,
  z44NoWipe,
  z45,
  z46,
  z47,
  z48,
  z48ShareHyp,
  z49,
  z49Unshare,
  z50,
  z52,
  z53,
  z54,
  z55,
  z56,
  z57,
  z58,
  z59,
  z60,
  z61,
];

/** The bug of this id, or undefined. */
export const bugById = (id: string): Bug | undefined => BUGS.find((bug) => bug.id === id);
