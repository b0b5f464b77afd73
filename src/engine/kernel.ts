/** The base kernel record, v6.18, made of the functions of the same names below; and kernels by id: policies and planted bugs. */
import { SUBSCRIBER_DRIVER, SUBSCRIBER_KVM } from '../machine/abi.js';
import { type Kernel, RULES_V6_18, type SubscriberOps } from '../machine/context.js';
import { rulesOfVersion } from '../machine/rules.js';
import { KVM_FUNCTIONS } from '../kvm/functions.js';
import { KVM_SUBSCRIBER } from '../kvm/notifier.js';
import { anonVmaLockWrite, anonVmaUnlockWrite } from '../mm/anon-vma.js';
import { collapseHugePage } from '../mm/collapse.js';
import { DRIVER_SUBSCRIBER } from '../mm/driver-subscriber.js';
import { directIoRead } from '../mm/direct-io.js';
import { dupMmap } from '../mm/fork.js';
import { followPagePte } from '../mm/gup-follow.js';
import { gupFast, gupFastUnchanged } from '../mm/gup-fast.js';
import { unpinUserPage } from '../mm/gup-grab.js';
import { pinUserPages } from '../mm/gup.js';
import { doHugePmdNumaPage } from '../mm/huge-memory-numa.js';
import { splitHugePmd } from '../mm/huge-memory-split.js';
import { doHugePmdWpPage } from '../mm/huge-memory-wp.js';
import { changeHugePmd, doHugePmdAnonymousPage, pmdpInvalidate } from '../mm/huge-memory.js';
import { tlbRemoveTableSyncOne } from '../mm/khugepaged.js';
import { ksmMustFlush, ksmShare, replacePage, writeProtectPage } from '../mm/ksm-merge.js';
import { folioWalk, ksmTestExit } from '../mm/ksm-scan.js';
import { ksmExit } from '../mm/ksm.js';
import { doAnonymousPage } from '../mm/memory-anon.js';
import { copyPageRange, copyPresentPte, folioTryDupAnonRmap } from '../mm/memory-fork.js';
import { doNumaPage, numaRebuildSingleMapping } from '../mm/memory-numa.js';
import { doSwapPage } from '../mm/memory-swap.js';
import { doWpPage, wpCanReuseAnonFolio } from '../mm/memory-wp.js';
import { handleMmFault } from '../mm/memory.js';
import { flushTlbBatchedPending } from '../mm/migrate-flush.js';
import { folioMigrateKsm, migrateFolioMove } from '../mm/migrate-move.js';
import { tryToMigrateOne } from '../mm/migrate-ptes.js';
import { migratePages } from '../mm/migrate.js';
import { mmuNotifierInvalidateRangeEnd, mmuNotifierInvalidateRangeStart } from '../mm/mmu-notifier.js';
import { changePteRange, changeProtection } from '../mm/mprotect.js';
import { tryToUnmapOne, unmapLazyfreePte } from '../mm/rmap-unmap.js';
import { splitHugePage } from '../mm/split-huge-page.js';
import { swapcachePrepare } from '../mm/swapfile.js';
import { removeMapping, shrinkFolioList } from '../mm/vmscan.js';
import { mmTlbFlushNested } from '../mm/tlb-flush.js';
import { zapPageRange } from '../mm/zap.js';
import { policyById } from '../policies/index.js';
import type { Claims, Policy } from '../policies/policy.js';
import { bugById } from '../zoo/index.js';

const SUBSCRIBERS: (SubscriberOps | undefined)[] = [];
SUBSCRIBERS[SUBSCRIBER_KVM] = KVM_SUBSCRIBER;
SUBSCRIBERS[SUBSCRIBER_DRIVER] = DRIVER_SUBSCRIBER;

/** v6.18 as it is: nothing replaced. */
export const BASE_KERNEL: Kernel = {
  id: 'base',
  rules: RULES_V6_18,
  subscribers: SUBSCRIBERS,
  handleMmFault,
  doAnonymousPage,
  doWpPage,
  wpCanReuseAnonFolio,
  doNumaPage,
  doSwapPage,
  numaRebuildSingleMapping,
  shrinkFolioList,
  tryToUnmapOne,
  removeMapping,
  unmapLazyfreePte,
  flushTlbBatchedPending,
  mmTlbFlushNested,
  swapcachePrepare,
  dupMmap,
  copyPageRange,
  copyPresentPte,
  folioTryDupAnonRmap,
  doHugePmdAnonymousPage,
  doHugePmdWpPage,
  doHugePmdNumaPage,
  changeHugePmd,
  pmdpInvalidate,
  splitHugePmd,
  splitHugePage,
  gupFast,
  gupFastUnchanged,
  followPagePte,
  pinUserPages,
  directIoRead,
  unpinUserPage,
  mmuNotifierInvalidateRangeStart,
  mmuNotifierInvalidateRangeEnd,
  changePteRange,
  changeProtection,
  migratePages,
  tryToMigrateOne,
  migrateFolioMove,
  folioMigrateKsm,
  folioWalk,
  ksmTestExit,
  ksmExit,
  ksmMustFlush,
  ksmShare,
  writeProtectPage,
  replacePage,
  collapseHugePage,
  collapseRmapLock: anonVmaLockWrite,
  collapseRmapUnlock: anonVmaUnlockWrite,
  tlbRemoveTableSyncOne,
  zapPageRange,
  ...KVM_FUNCTIONS,
};

/** Policies and planted bugs by id. */
interface KernelKind {
  readonly policy: Policy;
  readonly replace: Policy['replace'];
}

/** An id may name a release behind an `@`: `classic@v5.17`. */
function kernelKind(fullId: string): KernelKind {
  const [id = '', version] = fullId.split('@');
  const { policy, replace } = kindOf(id);
  if (version === undefined) return { policy, replace };
  return { policy, replace: { ...replace, rules: rulesOfVersion(version, replace.rules ?? BASE_KERNEL.rules) } };
}

function kindOf(id: string): KernelKind {
  const policy = policyById(id);
  if (policy !== undefined) return { policy, replace: policy.replace };
  const bug = bugById(id);
  const host = bug === undefined ? undefined : policyById(bug.policy);
  if (bug === undefined || host === undefined) throw new RangeError(`no kernel '${id}'`);
  return { policy: host, replace: { ...host.replace, ...bug.replace } };
}

/**
 * The kernel of a policy or planted bug: the base record with its functions replaced. One object shape for all of them.
 * @throws RangeError when there is none of that id
 */
export function resolveKernel(id: string): Kernel {
  return { ...BASE_KERNEL, ...kernelKind(id).replace, id };
}

/** What the kernel of this id promises: oracles judge it by that. A planted bug promises what its policy does. */
export function claimsOf(id: string): Claims {
  return kernelKind(id).policy.claims;
}

/**
 * Whether a pinned page must stay where its process has it (I-PIN, v5.19+). A bug that brings back older rules is judged by
 * what the kernel promises that it is planted in.
 */
export function pinKeepsPlace(id: string): boolean {
  const rules = id.includes('@') ? resolveKernel(id).rules : (kernelKind(id).policy.replace.rules ?? BASE_KERNEL.rules);
  return rules.wpReuse === 'v5.19';
}
