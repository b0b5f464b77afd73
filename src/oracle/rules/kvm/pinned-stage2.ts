/**
 * I-PINNED-S2: a pinned page's stage-2 entry is not removed. It is the claim of some policies only, and each is judged by its own:
 *
 *   mapping    the pin that the mapping itself holds, from the return of pin and map until the VM is torn down (c)
 *   longterm   any pin, from the return of the pin call to the first step of the unpin, against the mechanisms that the policy
 *              has taught to look at pins (d, e)
 *
 * Whether somebody else's pin has been *returned* is not to be seen in the page's counts, which are raised before and may be
 * dropped again; so all workers share a count of returned pins by frame.
 */
import { VM_STATE_LIVE } from '../../../machine/abi.js';
import { MECH } from '../../../machine/mechanisms.js';
import { touches } from '../../../machine/words/extra-accesses.js';
import type { Context } from '../../../machine/context.js';
import { adds, reads } from '../../../machine/effects.js';
import { HDR_GHOST_PINS, VM_STATE, pinnedPageWord, vmWord } from '../../../machine/layout.js';
import type { Claims } from '../../../policies/policy.js';
import { look as peek } from '#words';
import { claimsOfVm } from './claims.js';
import type { ViolationLog } from '../../violation.js';

const ID = 'I-PINNED-S2';

/** The scanners that ask before they announce, unless the policy names others. */
const SCANNERS: readonly number[] = [MECH.numa_scan, MECH.ksm];

export class PinnedStage2 {
  readonly #log: ViolationLog;
  readonly #claims: Claims;
  readonly #mechanisms: number;
  /** Returned pins of frame `pfn`: of everybody, or of this worker. */
  readonly #pins: (pfn: number) => number;

  constructor(log: ViolationLog, claims: Claims, pins: (pfn: number) => number) {
    this.#log = log;
    this.#claims = claims;
    this.#pins = pins;
    this.#mechanisms = (claims.keepsStage2Against ?? SCANNERS).reduce((mask, mechanism) => mask | (1 << mechanism), 0);
  }

  /** A pin has been returned, or is given back: what happens to stage-2 entries before and after is judged differently. */
  pinsChanged(): void {
    if (this.#claims.pinnedKeepsStage2 === 'longterm') touches(adds(HDR_GHOST_PINS));
  }

  /** The leaf at `gfn`, of `pages` pages from frame `pfn` on, is gone. */
  unmapped(ctx: Context, vm: number, gfn: number, pfn: number, pages: number): void {
    const kind = claimsOfVm(ctx.m, this.#claims, vm).pinnedKeepsStage2;
    if (kind === 'none' || peek(ctx.words, vmWord(ctx.m, vm, VM_STATE)) !== VM_STATE_LIVE) return;
    // the guest has given it up itself
    if (ctx.task.mechanism === MECH.relinquish) return;
    if (kind === 'longterm' && ((this.#mechanisms >> ctx.task.mechanism) & 1) === 0) return;
    if (kind === 'longterm') touches(reads(HDR_GHOST_PINS));
    for (let i = 0; i < pages; i++) {
      const pinned =
        kind === 'mapping'
          ? peek(ctx.words, pinnedPageWord(ctx.m, vm, gfn + i)) === pfn + i + 1
          : this.#pins(pfn + i) > 0;
      if (!pinned) continue;
      this.#log.report(ctx, ID, 'pinned page unmapped at stage 2', { vm, gfn: gfn + i, pfn: pfn + i });
      return;
    }
  }
}
