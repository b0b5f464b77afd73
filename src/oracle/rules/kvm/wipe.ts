/**
 * I-WIPE: a page that was the guest's own is zero when the host becomes its owner. Asserted in the step that makes it the host's:
 * host_mmu.lock is held and the host's stage 2 does not map the page yet, so the host cannot have written it.
 */
import type { Context } from '../../../machine/context.js';
import { PAGE_CONTENT } from '../../../machine/layout.js';
import { page } from '../../view.js';
import type { ViolationLog } from '../../violation.js';

export function hostBecameOwner(ctx: Context, log: ViolationLog, pfn: number, wipeDemanded: boolean): void {
  const content = page(ctx.m, pfn, PAGE_CONTENT);
  if (!wipeDemanded || content === 0) return;
  log.report(ctx, 'I-WIPE', 'guest page returned without wiping', { pfn, expected: '0', received: String(content) });
}
