/** The zoo, in the order of the kernel model's section 6. */
import type { Bug } from './bug.js';
import { z01EarlyCheck } from './z01-early-check.js';
import { z01NoRetry } from './z01-no-retry.js';
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
import { z30 } from './z30-eio-leak.js';
import { z31 } from './z31-dying-mm.js';
import { z32 } from './z32-ksm-skips-hints.js';
import { z37 } from './z37-not-memory.js';
import { z41 } from './z41-wrong-mm.js';
import { z42 } from './z42-unpin-first.js';
import { z43Guest } from './z43-guest.js';
import { z43 } from './z43-lazy-tlbi.js';
import { z44 } from './z44-wipe-first.js';
import { z45 } from './z45-eperm-livelock.js';
import { z47 } from './z47-no-retry.js';
import { z48 } from './z48-check-then-do.js';
import { z50 } from './z50-keyhole.js';
import { z53 } from './z53-stale-hint.js';

export const BUGS: readonly Bug[] = [
  z01,
  z01EarlyCheck,
  z01NoRetry,
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
  z30,
  z31,
  z32,
  z37,
  z41,
  z42,
  z43,
  z43Guest,
  z44,
  z45,
  z47,
  z48,
  z50,
  z53,
];

/** The bug of this id, or undefined. */
export const bugById = (id: string): Bug | undefined => BUGS.find((bug) => bug.id === id);
