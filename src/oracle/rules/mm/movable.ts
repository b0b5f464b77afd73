/**
 * I-MOVABLE: what a pin call with FOLL_LONGTERM returns does not lie in memory that must stay movable (ZONE_MOVABLE, CMA): the page is
 * moved out first, or the call fails (mm/gup.c check_and_migrate_movable_pages). Otherwise that memory can never be unplugged or
 * allocated whole again, for as long as the pin lives.
 */
import { PG_UNPINNABLE_ZONE } from '../../../machine/abi.js';
import type { Context } from '../../../machine/context.js';
import { PAGE_FLAGS } from '../../../machine/layout.js';
import { headOf, page } from '../../view.js';
import type { ViolationLog } from '../../violation.js';

/** The call has returned `pfn`, which cannot move any more. A folio lies in one zone: its head's. */
export function longtermPinned(ctx: Context, log: ViolationLog, pfn: number): void {
  if ((page(ctx.m, headOf(ctx.m, pfn), PAGE_FLAGS) & PG_UNPINNABLE_ZONE) === 0) return;
  log.report(ctx, 'I-MOVABLE', 'long-term pin in movable memory', { pfn });
}
