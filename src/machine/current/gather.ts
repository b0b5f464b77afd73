/** mmu_gather (include/asm-generic/tlb.h): what the zap under way has unmapped and neither flushed nor freed. */

/** MAX_GATHER_BATCH: folios that an mmu_gather holds before it must flush and free them. */
export const GATHER_FOLIOS = 510;

/** The actor's only one, begun by tlbGatherMmu and at its end by tlbFinishMmu (mm/memory/zap.ts): no zap runs inside another. */
export class MmuGather {
  /** Folio heads with a REF_GATHER each, and how many: 0 between two operations. */
  readonly folios = new Int32Array(GATHER_FOLIOS);
  count = 0;
  /** The range whose entries it cleared and has not flushed yet (empty when from >= to), and the range asked for. */
  from = 0;
  to = 0;
  start = 0;
  end = 0;
}
