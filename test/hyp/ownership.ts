/** Whether every page's owners agree, looked at from all sides (I-OWN): for a machine in which EL2 does nothing. */
import type { Context } from '#src/machine/context.js';
import {
  PKVM_ID_GUEST,
  PKVM_ID_HOST,
  PKVM_ID_HYP,
  PKVM_NOPAGE,
  PKVM_PAGE_OWNED,
  PKVM_PAGE_SHARED_BORROWED,
  PKVM_PAGE_SHARED_OWNED,
  entryPfn,
} from '#src/machine/entries.js';
import { hostS2Owner, hostState, hypState } from '#src/hyp/page-state.js';
import { guestLeaf, guestPageState } from '#src/hyp/stage2.js';

/** Pages whose triple is not in the table of legal ones, a line each. */
export function illOwned(ctx: Context): string[] {
  const { m } = ctx;
  const guests = new Map<number, number[]>();
  for (let vm = 0; vm < m.vms; vm++) {
    for (let gfn = 0; gfn < m.vmPages; gfn++) {
      const leaf = guestLeaf(ctx, vm, gfn);
      if (guestPageState(leaf) === PKVM_NOPAGE) continue;
      guests.set(entryPfn(leaf), [...(guests.get(entryPfn(leaf)) ?? []), guestPageState(leaf)]);
    }
  }
  const legal = new Set([
    `${PKVM_PAGE_OWNED} ${PKVM_NOPAGE} ${PKVM_ID_HOST} `,
    `${PKVM_PAGE_SHARED_OWNED} ${PKVM_NOPAGE} ${PKVM_ID_HOST} ${PKVM_PAGE_SHARED_BORROWED}`,
    `${PKVM_NOPAGE} ${PKVM_NOPAGE} ${PKVM_ID_GUEST} ${PKVM_PAGE_OWNED}`,
    `${PKVM_NOPAGE} ${PKVM_PAGE_OWNED} ${PKVM_ID_HYP} `,
  ]);
  const wrong: string[] = [];
  for (let pfn = 0; pfn < m.frames; pfn++) {
    const triple = `${hostState(ctx, pfn)} ${hypState(ctx, pfn)} ${hostS2Owner(ctx, pfn)} ${(guests.get(pfn) ?? []).join(' ')}`;
    if (!legal.has(triple)) wrong.push(`pfn ${pfn}: ${triple}`);
  }
  return wrong;
}
