/**
 * Divergence: the guest's page and the VMM's are no longer the same (kernel-model 5 (c) 1). Policy (c) gives that up
 * by design.
 */
import { entryPfn, isHuge, isPresent, isS2Block, isS2Leaf, isS2Table, isTable } from '../machine/entries.js';
import { type Machine, VM_MM, pmdWord, pteWord, s2PteWord, s2RootWord, vmWord } from '../machine/layout.js';
import { look as peek } from '#words';
import { vpnOfGfn } from './memslots.js';

/** The frame that stage 2 maps at `gfn`, or -1. */
export function stage2Pfn(m: Machine, vm: number, gfn: number): number {
  let entry = peek(m.words, s2RootWord(m, vm, gfn));
  if (isS2Table(entry)) entry = peek(m.words, s2PteWord(m, entryPfn(entry), gfn));
  if (!isS2Leaf(entry)) return -1;
  return entryPfn(entry) + (isS2Block(entry) ? gfn & (m.thpPages - 1) : 0);
}

/** The frame that process `mm` maps at `vpn`, hints included, or -1. */
export function hostPfn(m: Machine, mm: number, vpn: number): number {
  const pmd = peek(m.words, pmdWord(m, mm, vpn));
  if (isHuge(pmd)) {
    if (!isPresent(pmd)) return -1;
    return entryPfn(pmd) === 0 ? 0 : entryPfn(pmd) + (vpn & (m.thpPages - 1));
  }
  if (!isTable(pmd)) return -1;
  const entry = peek(m.words, pteWord(m, entryPfn(pmd), vpn));
  return isPresent(entry) ? entryPfn(entry) : -1;
}

/**
 * Counts the guest pages whose stage-2 frame is not the one that the VMM maps there (none, or another). For a machine
 * that stands still: at a drain, or at a step boundary.
 * @param found told of each
 */
export function countDivergences(
  m: Machine,
  vm: number,
  found?: (gfn: number, stage2: number, host: number) => void,
): number {
  const mm = peek(m.words, vmWord(m, vm, VM_MM));
  let count = 0;
  for (let gfn = 0; gfn < m.vmPages; gfn++) {
    if (peek(m.words, s2RootWord(m, vm, gfn)) === 0) {
      gfn |= m.thpPages - 1;
      continue;
    }
    const guest = stage2Pfn(m, vm, gfn);
    if (guest < 0) continue;
    const vpn = vpnOfGfn(m, vm, gfn);
    const host = vpn < 0 ? -1 : hostPfn(m, mm, vpn);
    if (host === guest) continue;
    count++;
    found?.(gfn, guest, host);
  }
  return count;
}
