/**
 * Boot: fills the free lists and pools of a machine that nobody runs on yet. Plain stores throughout.
 */
import { PG_NO_MAP, PG_RESERVED } from '../machine/abi.js';
import {
  ANON_VMA_POOL_HEAD,
  ANON_VMA_POOL_NEXT,
  AVC_NEXT,
  AVC_POOL_HEAD,
  CPU_NODE,
  KHUGEPAGED_MAX_PTES_NONE,
  KHUGEPAGED_MAX_PTES_SHARED,
  KHUGEPAGED_MAX_PTES_SWAP,
  KSM_NODE_NEXT,
  KSM_NODE_POOL_HEAD,
  KSM_RUN,
  KSM_SMART_SCAN,
  MIGRATE_PASSES,
  MM_MEMLOCK_LIMIT,
  type Machine,
  OBJECT_SIZE,
  PAGE_FLAGS,
  PAGE_REFS,
  S2_POOL_FREE,
  S2_POOL_HEAD,
  TABLE_POOL_FREE,
  TABLE_POOL_HEAD,
  TABLE_POOL_NEXT,
  SWAP_FREE_SLOTS,
  THP_ENABLED,
  THP_USE_ZERO_PAGE,
  TLB_BATCH,
  anonVmaWord,
  avcWord,
  cpuWord,
  globalWord,
  ksmNodeWord,
  mmWord,
  objectWord,
  pageWord,
  s2TableWord,
  tableWord,
} from '../machine/layout.js';
import { giveFrame } from './page-alloc.js';

/** The node that CPU `cpu` stands on. */
export const nodeOfCpu = (m: Machine, cpu: number): number => m.config.cpuNodes[cpu] ?? cpu % m.nodes;

/** Lays out free lists, pools and default knobs. Frame 0 is the zero page; it is never free. */
export function bootMachine(m: Machine): void {
  const w = m.words;
  w[pageWord(m, 0, PAGE_REFS)] = 1;
  w[pageWord(m, 0, PAGE_FLAGS)] = PG_RESERVED;
  for (let pfn = m.frames - 1; pfn > 0; pfn--) {
    // a carve-out is no memory to anybody
    if (((w[pageWord(m, pfn, PAGE_FLAGS)] as number) & PG_NO_MAP) === 0) giveFrame(m, (pfn / m.framesPerNode) | 0, pfn);
  }

  for (let i = 0; i < m.tables; i++) w[tableWord(m, i, TABLE_POOL_NEXT)] = i + 1 < m.tables ? i + 2 : 0;
  w[globalWord(m, TABLE_POOL_HEAD)] = 1;
  w[globalWord(m, TABLE_POOL_FREE)] = m.tables;
  for (let i = 0; i < m.s2Tables; i++) w[s2TableWord(m, i, TABLE_POOL_NEXT)] = i + 1 < m.s2Tables ? i + 2 : 0;
  w[globalWord(m, S2_POOL_HEAD)] = 1;
  w[globalWord(m, S2_POOL_FREE)] = m.s2Tables;
  // anon_vma 0 and stable node 0 are never used: a mapping of 0 is none
  for (let i = 1; i < m.anonVmas; i++) w[anonVmaWord(m, i, ANON_VMA_POOL_NEXT)] = i + 1 < m.anonVmas ? i + 2 : 0;
  w[globalWord(m, ANON_VMA_POOL_HEAD)] = 2;
  for (let i = 0; i < m.avcs; i++) w[avcWord(m, i, AVC_NEXT)] = i + 1 < m.avcs ? i + 2 : 0;
  w[globalWord(m, AVC_POOL_HEAD)] = 1;
  for (let i = 1; i < m.ksmNodes; i++) w[ksmNodeWord(m, i, KSM_NODE_NEXT)] = i + 1 < m.ksmNodes ? i + 2 : 0;
  w[globalWord(m, KSM_NODE_POOL_HEAD)] = 2;

  for (let i = 0; i < m.objects; i++) w[objectWord(m, i, OBJECT_SIZE)] = m.objectPages;
  for (let mm = 0; mm < m.mms; mm++) w[mmWord(m, mm, MM_MEMLOCK_LIMIT)] = -1;
  w[globalWord(m, SWAP_FREE_SLOTS)] = m.swapSlots;
  for (let cpu = 0; cpu < m.cpus; cpu++) w[cpuWord(m, cpu, CPU_NODE)] = nodeOfCpu(m, cpu);

  w[globalWord(m, KSM_SMART_SCAN)] = 1;
  w[globalWord(m, KSM_RUN)] = 1;
  w[globalWord(m, KHUGEPAGED_MAX_PTES_NONE)] = m.thpPages - 1;
  w[globalWord(m, KHUGEPAGED_MAX_PTES_SHARED)] = m.thpPages >> 1;
  w[globalWord(m, KHUGEPAGED_MAX_PTES_SWAP)] = m.thpPages >> 3;
  w[globalWord(m, THP_ENABLED)] = 1;
  w[globalWord(m, THP_USE_ZERO_PAGE)] = 0;
  w[globalWord(m, TLB_BATCH)] = 1;
  w[globalWord(m, MIGRATE_PASSES)] = 10;
}
