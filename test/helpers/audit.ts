/**
 * Counts what page tables, gathers and batches say about every frame and compares it with struct page: I-REF, I-MAP, I-FREE
 * and I-EXCL of a machine in which nothing is under way.
 */
import { COMPOUND_TAIL, PG_ANON_EXCLUSIVE, PG_BUDDY, PG_PCP } from '#src/machine/abi.js';
import { PTE_WRITE, entryPfn, isHuge, isPresent, isSpecial, isTable } from '#src/machine/entries.js';
import {
  CPU_LRU_PFNS,
  MM_TLB_FLUSH_PENDING,
  type Machine,
  PAGE_COMPOUND,
  PAGE_ENTIRE_MAPS,
  PAGE_FLAGS,
  PAGE_LARGE_MAPS,
  PAGE_LOCK,
  PAGE_MAPS,
  PAGE_PINCOUNT,
  PAGE_REFS,
  SWAP_FOLIO,
  cpuWord,
  mmWord,
  pageWord,
  pmdWord,
  pteWord,
  swapWord,
} from '#src/machine/layout.js';

/** References held by somebody on purpose: head pfn -> how many. A small folio's pin counts 1024. */
export type Extra = Readonly<Record<number, number>>;

/** Everything that does not add up, a line each; empty when all does. */
export function audit(m: Machine, extra: Extra = {}): string[] {
  const w = m.words;
  const wrong: string[] = [];
  const maps = new Int32Array(m.frames);
  const entire = new Int32Array(m.frames);
  const headOf = (pfn: number): number => {
    const compound = w[pageWord(m, pfn, PAGE_COMPOUND)] as number;
    return compound < 0 ? compound & ~COMPOUND_TAIL : pfn;
  };
  for (let mm = 0; mm < m.mms; mm++) {
    if (w[mmWord(m, mm, MM_TLB_FLUSH_PENDING)] !== 0) wrong.push(`mm ${mm}: a gather is open`);
    for (let vpn = 0; vpn < m.mmPages; vpn += m.thpPages) {
      const pmd = w[pmdWord(m, mm, vpn)] as number;
      if (isHuge(pmd)) {
        if (isPresent(pmd) && entryPfn(pmd) !== 0) entire[entryPfn(pmd)] = (entire[entryPfn(pmd)] as number) + 1;
      } else if (isTable(pmd)) {
        for (let i = 0; i < m.thpPages; i++) {
          const pte = w[pteWord(m, entryPfn(pmd), vpn + i)] as number;
          if (!isPresent(pte) || isSpecial(pte)) continue;
          const pfn = entryPfn(pte);
          maps[pfn] = (maps[pfn] as number) + 1;
          const exclusive = ((w[pageWord(m, pfn, PAGE_FLAGS)] as number) & PG_ANON_EXCLUSIVE) !== 0;
          if ((pte & PTE_WRITE) !== 0 && !exclusive) wrong.push(`mm ${mm} vpn ${vpn + i}: writable but not exclusive`);
        }
      }
    }
  }
  const refs = new Int32Array(m.frames);
  const sums = new Int32Array(m.frames);
  for (let pfn = 1; pfn < m.frames; pfn++) {
    const head = headOf(pfn);
    refs[head] = (refs[head] as number) + (maps[pfn] as number) + (entire[pfn] as number);
    sums[head] = (sums[head] as number) + (maps[pfn] as number) + (entire[pfn] as number);
  }
  for (let cpu = 0; cpu < m.cpus; cpu++) {
    for (let i = 0; i < m.config.lruBatch; i++) {
      const head = w[cpuWord(m, cpu, CPU_LRU_PFNS) + i] as number;
      if (head !== 0) refs[head] = (refs[head] as number) + 1;
    }
  }
  for (let slot = 0; slot < m.swapSlots; slot++) {
    const folio = w[swapWord(m, slot, SWAP_FOLIO)] as number;
    if (folio !== 0) refs[folio] = (refs[folio] as number) + 1;
  }
  const expect = (pfn: number, name: string, field: number, value: number): void => {
    const found = w[pageWord(m, pfn, field)] as number;
    if (found !== value) wrong.push(`pfn ${pfn}: ${name} ${found}, expected ${value}`);
  };
  for (let pfn = 1; pfn < m.frames; pfn++) {
    const head = headOf(pfn) === pfn;
    const large = head && (w[pageWord(m, pfn, PAGE_COMPOUND)] as number) !== 0;
    const total = (refs[pfn] as number) + (head ? (extra[pfn] ?? 0) : 0);
    expect(pfn, 'refs', PAGE_REFS, head ? total : 0);
    expect(pfn, 'maps', PAGE_MAPS, maps[pfn] as number);
    expect(pfn, 'entire maps', PAGE_ENTIRE_MAPS, entire[pfn] as number);
    expect(pfn, 'large maps', PAGE_LARGE_MAPS, large ? (sums[pfn] as number) : 0);
    if ((w[pageWord(m, pfn, PAGE_LOCK)] as number) !== 0) wrong.push(`pfn ${pfn}: locked`);
    const free = ((w[pageWord(m, pfn, PAGE_FLAGS)] as number) & (PG_BUDDY | PG_PCP)) !== 0;
    const used = head ? total > 0 : true;
    if (free === used) wrong.push(`pfn ${pfn}: refs ${total} but ${free ? 'free' : 'not free'}`);
    if (free) expect(pfn, 'pins', PAGE_PINCOUNT, 0);
  }
  return wrong;
}
