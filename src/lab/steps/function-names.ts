/** The functions that a step is inside of, by the names that the kernel gives them. */
import { type FunctionPlace, Positions } from '../../engine/machine/source-positions.js';
import type { Coroutine } from '../../machine/context.js';

/** The actors' own loops and what a litmus test's operations go through: no function of the kernel. */
const OUTER: ReadonlySet<string> = new Set([
  'litmus',
  'litmusCall',
  'callOf',
  'whileMmLives',
  'whileVmLives',
  'exits',
  'closesVm',
  'leavesMm',
  'untilForked',
  'untilVcpusClosed',
  'vcpu',
  'vmm',
  'dma',
  'driver',
  'touchUser',
  'runSynthetic',
]);

/** What no function of the kernel does: the MMU of a CPU, a device. */
const HARDWARE: Readonly<Record<string, string>> = {
  hostAccess: 'user access',
  guestAccess: 'guest access',
  pinRead: 'device read',
  pinWrite: 'device write',
  deviceWrites: 'device write',
  kernelLoad: 'kernel load',
  pkvmKernelRead: 'kernel load',
};

/** Our parts of functions that the kernel has in one piece, by the kernel's name for the whole. */
const PARTS: Readonly<Record<string, string>> = {
  walk: 'gup_fast_pte_range',
  stillAllowed: 'gup_fast_pte_range',
  gupFastUnchanged: 'gup_fast_pte_range',
  followTouchingDirty: 'follow_trans_huge_pmd',
  // v6.17 and v6.18; in change_pte_range() itself before, folio_can_map_prot_numa() since
  numaDecision: 'prot_numa_skip',
  numaBusy: 'prot_numa_skip',
  rebuild: 'numa_rebuild_single_mapping',
  pinnedPte: 'folio_maybe_dma_pinned',
  lookAtPmd: 'folio_maybe_dma_pinned',
  collapseLocked: 'collapse_huge_page',
  mappedIn: 'page_vma_mapped_walk',
  unmapPte: 'try_to_unmap_one',
  faultLockAndCheck: 'kvm_fault_lock',
  writeProtectPte: 'write_protect_page',
  restorePte: 'remove_migration_pte',
  changePtes: 'change_pte_range',
  changePte: 'change_pte_range',
  localNode: 'change_pte_range',
  canChangeWritable: 'can_change_pte_writable',
  skipNumaPmd: 'change_huge_pmd',
  munmapLocked: 'do_vmi_align_munmap',
  flushAndFree: 'tlb_flush_mmu',
  mostMaps: 'page_mapcount',
  replaceHuge: 'do_huge_pmd_wp_page',
  scanFolio: 'hpage_collapse_scan_pmd',
  shrinkFolio: 'shrink_folio_list',
  reclaimPage: 'shrink_folio_list',
  unmapLazyfreePte: 'try_to_unmap_one',
  deviceToPfn: 'hva_to_pfn',
  releaseFaultinPage: 'kvm_release_faultin_page',
  mapFault: 'user_mem_abort',
  pinAndMap: 'pkvm_mem_abort',
  wrprotectLeaf: 'stage2_attr_walker',
  wrprotectLeaves: 'stage2_attr_walker',
  freeTableIfEmpty: 'stage2_unmap_walker',
  dispatch: 'handle_host_hcall',
  hostSetOwner: 'host_stage2_set_owner_locked',
  hostMapShared: '__host_set_page_state_range',
  hostDonateGuest: '__pkvm_host_donate_guest',
  hostShareGuest: '__pkvm_host_share_guest',
  hostUnshareGuest: '__pkvm_host_unshare_guest',
  hostWrprotectGuest: '__pkvm_host_wrprotect_guest',
  hostRelaxPermsGuest: '__pkvm_host_relax_perms_guest',
  guestShareHost: '__pkvm_guest_share_host',
  guestUnshareHost: '__pkvm_guest_unshare_host',
  reclaimDyingGuestPage: '__pkvm_reclaim_dying_guest_page',
  mapCopy: 'wp_page_copy',
  mapFresh: 'do_swap_page',
  enterSwapCache: 'add_to_swap',
  isolateFolio: '__collapse_huge_page_isolate',
  copyAndFree: '__collapse_huge_page_copy',
  freeVmas: 'free_pgtables',
  freePtes: 'madvise_free_pte_range',
  splitUnmapped: '__split_unmapped_folio',
  invalidateMemslot: 'kvm_invalidate_memslot',
  kvmActivateSet: 'kvm_swap_active_memslots',
  poisonPage: 'hyp_poison_page',
  nextAnonPage: 'scan_get_next_rmap_item',
  hostMapGuest: '__pkvm_host_map_guest',
  hostDonateHyp: '__pkvm_host_donate_hyp',
  hostShareHyp: '__pkvm_host_share_hyp',
};

/** What takes a lock for somebody, or is a part of several functions of the kernel. */
const HELPERS: ReadonlySet<string> = new Set([
  'mmapReadLock',
  'mmapReadUnlock',
  'mmapDownWrite',
  'mmapUpWrite',
  'pteOffsetMapLock',
  'pmdLock',
  'mmuLock',
  'mmuUnlock',
  'lock',
  'unlock',
  'unlockPtes',
  'followEntry',
  'unmapPtes',
  'discardPte',
  'dropPte',
  'makeOldAndClean',
  'setGuestState',
  'setWritable',
  'swapMap',
]);
/** Files of functions that stand in a kernel function's place. */
const STANDS_IN = /^(src\/zoo|src\/policies|actors)\//;

const kernelName = (fn: string): string => PARTS[fn] ?? fn.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** Asks for names, of few steps; {@link close} when done. */
export class FunctionNames {
  readonly #positions = new Positions();
  readonly #known = new Map<Coroutine<unknown>, FunctionPlace>();

  close(): void {
    this.#positions.close();
  }

  /**
   * `folio_maybe_dma_pinned()`, `user access`: the innermost function of the kernel that a step is in; helpers and what stands in place of
   * a kernel function (a planted bug, a policy) go by the name of the one that calls them. Empty where there is none.
   */
  of(calls: readonly Coroutine<unknown>[]): string {
    let fallback = '';
    for (let at = calls.length - 1; at >= 0; at--) {
      const { fn, file } = this.#place(calls[at] as Coroutine<unknown>);
      if (OUTER.has(fn)) break;
      const hardware = HARDWARE[fn];
      if (hardware !== undefined) return hardware;
      const name = `${kernelName(fn)}()`;
      if (!HELPERS.has(fn) && (PARTS[fn] !== undefined || !STANDS_IN.test(file))) return name;
      if (fallback === '') fallback = name;
    }
    return fallback;
  }

  #place(call: Coroutine<unknown>): FunctionPlace {
    let place = this.#known.get(call);
    if (place === undefined) this.#known.set(call, (place = this.#positions.functionOf(call)));
    return place;
  }
}
