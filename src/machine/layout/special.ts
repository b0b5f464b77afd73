/** Accessors that follow from no single row: what is no record of fields, and short cuts. */
import { STATS_WORDS, TABLE_PTL, VCPU_WORDS, VM_VCPUS } from './generated.js';
import type { Machine } from './machine.js';
import { LINE } from './values.js';

/** A kernel-wide lock: GLOBAL_*. */
export const globalLock = (m: Machine, which: number): number => m.globalsAt + which * LINE;
/** A kernel-wide word: KSM_*, KHUGEPAGED_*, *_POOL_* and so on. */
export const globalWord = (m: Machine, which: number): number => m.globalDataAt + which;
/** Where the counters of an actor begin (machine/stats.ts). */
export const statsBase = (m: Machine, actor: number): number => m.statsAt + actor * STATS_WORDS;
/** Where the TLB of a CPU begins. */
export const tlbBase = (m: Machine, cpu: number): number => m.tlbsAt + cpu * (m.tlbMask + 1) * 2;
/** The PTL of a PTE table. */
export const ptlOf = (m: Machine, table: number): number => m.tablesAt + table * m.tableWords + TABLE_PTL;
/** ksm_rmap_item of a virtual page: the item's number. */
export const ksmItem = (m: Machine, mm: number, vpn: number): number => mm * m.mmPages + vpn;
/** A field VCPU_* of a vCPU. */
export const vcpuWord = (m: Machine, vm: number, vcpu: number, field: number): number =>
  m.vmsAt + vm * m.vmWords + VM_VCPUS + vcpu * VCPU_WORDS + field;
