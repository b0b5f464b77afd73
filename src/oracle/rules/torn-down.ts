/**
 * After the teardown that ends every run: all frames free, all counts zero. What is left over was leaked by somebody.
 */
import { PG_BUDDY, PG_DRIVER, PG_HWPOISON, PG_NO_MAP, PG_RESERVED } from '../../machine/abi.js';
import {
  MM_LOCKED_VM,
  MM_PINNED_VM,
  type Machine,
  PAGE_ENTIRE_MAPS,
  PAGE_FLAGS,
  PAGE_HOST_S2,
  PAGE_LARGE_MAPS,
  PAGE_LOCK,
  PAGE_MAPS,
  PAGE_PINCOUNT,
  PAGE_REFS,
  TABLE_POOL_FREE,
  S2_POOL_FREE,
  SWAP_FREE_SLOTS,
  globalWord,
  mmWord,
  pageWord,
} from '../../machine/layout.js';
import { annotationOwner } from '../../machine/entries.js';
import type { Violation, ViolationSubject } from '../violation.js';

const found = (invariant: string, what: string, subject: ViolationSubject): Violation => ({
  ...subject,
  invariant,
  what,
  actor: -1,
  actors: [],
  time: 0,
  held: [],
});

/** At most this many of each kind. */
const KEPT = 5;

/** What a machine without VMs and processes still holds. Empty after a correct run. */
export function auditTornDown(m: Machine): Violation[] {
  const violations: Violation[] = [];
  const count = new Map<string, number>();
  const add = (violation: Violation): void => {
    const kind = violation.what;
    count.set(kind, (count.get(kind) ?? 0) + 1);
    if ((count.get(kind) as number) <= KEPT) violations.push(violation);
  };
  const field = (pfn: number, which: number): number => m.words[pageWord(m, pfn, which)] as number;
  for (let pfn = 1; pfn < m.frames; pfn++) {
    const flags = field(pfn, PAGE_FLAGS);
    if ((flags & (PG_HWPOISON | PG_RESERVED | PG_NO_MAP | PG_DRIVER)) !== 0) continue;
    const refs = field(pfn, PAGE_REFS);
    if (refs !== 0)
      add(found('I-REF', 'page never freed after teardown', { pfn, received: `refs ${refs}`, expected: 'refs 0' }));
    else if ((flags & PG_BUDDY) === 0) add(found('I-FREE', 'page on no free list', { pfn }));
    const maps = field(pfn, PAGE_MAPS) + field(pfn, PAGE_LARGE_MAPS) + field(pfn, PAGE_ENTIRE_MAPS);
    if (maps !== 0) add(found('I-MAP', 'mapcount left after teardown', { pfn, received: String(maps), expected: '0' }));
    if (field(pfn, PAGE_PINCOUNT) !== 0) add(found('I-PIN', 'pin left after teardown', { pfn }));
    if (field(pfn, PAGE_LOCK) !== 0) add(found('I-LOCKORD', 'folio lock left after teardown', { pfn }));
    if (annotationOwner(field(pfn, PAGE_HOST_S2)) !== 0) {
      add(
        found('I-OWN', 'page never returned to host', {
          pfn,
          received: `owner ${annotationOwner(field(pfn, PAGE_HOST_S2))}`,
        }),
      );
    }
  }
  for (let mm = 0; mm < m.mms; mm++) {
    for (const [name, which] of [
      ['locked_vm', MM_LOCKED_VM],
      ['pinned_vm', MM_PINNED_VM],
    ] as const) {
      const pages = m.words[mmWord(m, mm, which)] as number;
      if (pages !== 0)
        add(found('I-ACCT', `${name} left after teardown`, { mm, received: String(pages), expected: '0' }));
    }
  }
  for (const [name, free, all] of [
    ['page table', m.words[globalWord(m, TABLE_POOL_FREE)] as number, m.tables],
    ['stage-2 table', m.words[globalWord(m, S2_POOL_FREE)] as number, m.s2Tables],
    ['swap slot', m.words[globalWord(m, SWAP_FREE_SLOTS)] as number, m.swapSlots],
  ] as const) {
    if (free !== all) add(found('I-REF', `${name} never freed`, { received: `${free} free`, expected: `${all} free` }));
  }
  return violations;
}
