/** I-ACCT: at rest, mm.locked_vm is the number of pages that VMs of the mm keep pinned; nothing else charges it here. */
import { type Machine, MM_LOCKED_VM, VM_MM, mmWord, pinnedPageWord, vmWord } from '../../../machine/layout.js';
import { look as peek } from '#words';
import type { ViolationLog } from '../../violation.js';

export function auditAccounting(m: Machine, log: ViolationLog): void {
  for (let mm = 0; mm < m.mms; mm++) {
    let pinned = 0;
    for (let vm = 0; vm < m.vms; vm++) {
      if (peek(m.words, vmWord(m, vm, VM_MM)) !== mm) continue;
      for (let gfn = 0; gfn < m.vmPages; gfn++) if (peek(m.words, pinnedPageWord(m, vm, gfn)) !== 0) pinned++;
    }
    const locked = peek(m.words, mmWord(m, mm, MM_LOCKED_VM));
    if (locked === pinned) continue;
    log.found('I-ACCT', 'locked_vm differs from pinned pages', {
      mm,
      expected: String(pinned),
      received: String(locked),
    });
  }
}
