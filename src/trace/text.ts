/**
 * An event in the words that kernel commit messages use: `invalidate_range_start(0x10-0x14)`, `stage2_unmap(gfn 0x12)`
 * with the remark `pinned page unmapped`. The race diagram and the lists in reports are made of these.
 */
import {
  FAULT_FLAG_UNSHARE,
  FAULT_FLAG_WRITE,
  FOLL_FAST_ONLY,
  FOLL_LONGTERM,
  FOLL_PIN,
  FOLL_WRITE,
  VM_FAULT_FALLBACK,
  VM_FAULT_HWPOISON,
  VM_FAULT_OOM,
  VM_FAULT_RETRY,
  VM_FAULT_SIGBUS,
  VM_FAULT_SIGSEGV,
  errnoName,
} from '../machine/abi.js';
import {
  entryPfn,
  isHuge,
  isHwpoisonEntry,
  isMigrationEntry,
  isNone,
  isPresent,
  isProtnone,
  isSpecial,
  isTable,
  isWritable,
} from '../machine/entries.js';
import { lockClass } from '../locks/classes.js';
import { HYPERCALLS } from '../hyp/hypercalls.js';
import * as khugepaged from '../mm/khugepaged/khugepaged.js';
import { RECORD_ARGS, RECORD_WORDS, recordActor, recordTime, recordType } from '../events/record.js';
import type { EventName } from '../events/table.js';
import { MECHANISM_ROWS, mechanismName } from '../machine/mechanisms.js';
import { EVENT_TYPES, eventName } from './event.js';

/** An event in words. */
interface Phrase {
  readonly text: string;
  /** What a reader should notice: printed behind `<--`. Empty for most. */
  readonly note: string;
  /** 1 opens a nested stretch of its actor (invalidate_range_start), -1 closes it. */
  readonly nest: -1 | 0 | 1;
}

export const hex = (value: number): string => `0x${(value >>> 0).toString(16)}`;
const range = (start: number, end: number): string => (end - start === 1 ? hex(start) : `${hex(start)}-${hex(end)}`);
const count = (n: number, unit: string): string => `${n} ${unit}${n === 1 ? '' : 's'}`;
const outcome = (result: number): string => (result < 0 ? ` -> ${errnoName(result)}` : '');

/** The kernel function in whose name a mechanism's notifiers are sent, or null. */
export const mechanismTitle = (mechanism: number): string | null => MECHANISM_ROWS[mechanism]?.title ?? null;

/** A page-table entry in words: `pfn 0x12 RW`, `PROT_NONE pfn 0x12`, `migration entry pfn 0x12`, `none`. */
export function entryText(entry: number): string {
  const huge = isHuge(entry) ? 'huge ' : '';
  const pfn = `pfn ${hex(entryPfn(entry))}`;
  if (isNone(entry)) return 'none';
  if (isTable(entry)) return 'table';
  if (isMigrationEntry(entry)) return `${huge}migration entry ${pfn}`;
  if (isHwpoisonEntry(entry)) return 'hwpoison entry';
  if (!isPresent(entry)) return 'swap entry';
  if (isProtnone(entry)) return `${huge}PROT_NONE ${pfn}`;
  if (isSpecial(entry)) return `${huge}zero page`;
  return `${huge}${pfn} ${isWritable(entry) ? 'RW' : 'RO'}`;
}

/** A fault's result: empty for 0, otherwise the VM_FAULT_* names or the errno. */
function faultText(result: number): string {
  if (result <= 0) return outcome(result);
  const names: [number, string][] = [
    [VM_FAULT_OOM, 'OOM'],
    [VM_FAULT_SIGBUS, 'SIGBUS'],
    [VM_FAULT_HWPOISON, 'HWPOISON'],
    [VM_FAULT_SIGSEGV, 'SIGSEGV'],
    [VM_FAULT_RETRY, 'RETRY'],
    [VM_FAULT_FALLBACK, 'FALLBACK'],
  ];
  const set = names.filter(([bit]) => (result & bit) !== 0).map(([, name]) => name);
  return set.length === 0 ? '' : ` -> VM_FAULT_${set.join('|')}`;
}

const gup = (flags: number): string =>
  `${(flags & FOLL_PIN) !== 0 ? 'pin' : 'get'}_user_pages${(flags & FOLL_FAST_ONLY) !== 0 ? '_fast_only' : ''}`;
const gupFlags = (flags: number): string =>
  (flags & FOLL_LONGTERM) !== 0 ? ', LONGTERM' : (flags & FOLL_WRITE) !== 0 ? ', write' : '';

type Words = (a: number, b: number, c: number, d: number) => string;

/** The text of each type; a, b, c, d are the row's arguments in the event table. */
const WORDS: Readonly<Record<EventName, Words>> = {
  sched_operation: (operation, begin) => `${begin !== 0 ? 'begins' : 'ends'} operation ${operation}`,
  fault: (_mm, vpn, flags, result) => {
    const what = (flags & FAULT_FLAG_WRITE) !== 0 ? ', write' : (flags & FAULT_FLAG_UNSHARE) !== 0 ? ', unshare' : '';
    return `handle_mm_fault(${hex(vpn)}${what})${faultText(result)}`;
  },
  anon_map: (_mm, vpn, pfn, order) =>
    `${order > 0 ? 'do_huge_pmd_anonymous_page' : 'do_anonymous_page'}(${hex(vpn)}): pfn ${hex(pfn)}`,
  wp_copy: (_mm, vpn, old, now) => `wp_page_copy(${hex(vpn)}): pfn ${hex(old)} -> ${hex(now)}`,
  wp_reuse: (_mm, vpn, pfn, unshare) =>
    `wp_page_reuse(${hex(vpn)}): pfn ${hex(pfn)}${unshare !== 0 ? ', unshare' : ''}`,
  pte_change: (_mm, vpn, old, now) => `PTE(${hex(vpn)}): ${entryText(old)} -> ${entryText(now)}`,
  pmd_change: (_mm, vpn, old, now) => `PMD(${hex(vpn)}): ${entryText(old)} -> ${entryText(now)}`,
  page_pin: (_mm, vpn, pfn, flags) => `${gup(flags)}(${hex(vpn)}${gupFlags(flags)}): pfn ${hex(pfn)}`,
  page_unpin: (pfn) => `unpin_user_page(pfn ${hex(pfn)})`,
  gup_failed: (_mm, vpn, flags, result) => `${gup(flags)}(${hex(vpn)}${gupFlags(flags)})${outcome(result)}`,
  page_alloc: (pfn, order, node) => `alloc_pages(order ${order}, node ${node}): pfn ${hex(pfn)}`,
  page_free: (pfn, order) => `free_pages(pfn ${hex(pfn)}${order > 0 ? `, order ${order}` : ''})`,
  notifier_start: (_mm, start, end) => `invalidate_range_start(${range(start, end)})`,
  notifier_end: (_mm, start, end) => `invalidate_range_end(${range(start, end)})`,
  kvm_unmap: (_vm, start, end, unmapped) =>
    `kvm_unmap_gfn_range(${range(start, end)}): ${unmapped === 0 ? 'nothing mapped' : count(unmapped, 'page')}`,
  stage2_map: (_vm, gfn, pfn, writable) =>
    `stage2_map(gfn ${hex(gfn)}): pfn ${hex(pfn)}${writable !== 0 ? '' : ' read-only'}`,
  stage2_unmap: (_vm, gfn) => `stage2_unmap(gfn ${hex(gfn)})`,
  stage2_fault: (_vm, gfn, write, result) =>
    `stage-2 ${write !== 0 ? 'write' : 'read'} fault, gfn ${hex(gfn)}${outcome(result)}`,
  stage2_retry: (_vm, gfn, seq, inProgress) =>
    `mmu_invalidate_retry(gfn ${hex(gfn)}): ${inProgress !== 0 ? 'in progress' : `seq ${seq}`}, put, retry`,
  tlb_flush: (guest, _space, start, end) =>
    `${guest !== 0 ? 'kvm_tlb_flush_vmid_range' : 'flush_tlb_range'}(${range(start, end)})`,
  split_huge_pmd: (_mm, vpn, pfn, freeze) =>
    `__split_huge_pmd(${hex(vpn)}): pfn ${hex(pfn)}${freeze !== 0 ? ', freeze' : ''}`,
  split_folio: (pfn, result, refs, expected) =>
    `split_huge_page(pfn ${hex(pfn)})${result < 0 ? `${outcome(result)}: refs ${refs}, expected ${expected}` : ': split'}`,
  numa_protect: (_mm, vpn, pfn, huge) => `${huge !== 0 ? 'PMD' : 'PTE'}(${hex(vpn)}): pfn ${hex(pfn)} -> PROT_NONE`,
  numa_skip_pinned: (_mm, vpn) => `PTE(${hex(vpn)}): page pinned, skipped`,
  numa_hint_fault: (_mm, vpn, pfn, node) => `do_numa_page(${hex(vpn)}): pfn ${hex(pfn)}, node ${node}`,
  migrate: (src, dst, result) =>
    `migrate_folio(pfn ${hex(src)})${result === 0 ? `: moved to pfn ${hex(dst)}` : `${outcome(result)}: stays`}`,
  migration_entry: (_mm, vpn, pfn, installed) =>
    `PTE(${hex(vpn)}) := ${installed !== 0 ? `migration entry pfn ${hex(pfn)}` : pfn === 0 ? 'the zero page, not what was there' : `restored, pfn ${hex(pfn)}`}`,
  ksm_scan: (_mm, vpn, pfn, checksum) => `cmp_and_merge_page(${hex(vpn)}): pfn ${hex(pfn)}, checksum ${hex(checksum)}`,
  ksm_write_protect: (_mm, vpn, pfn, result) =>
    `write_protect_page(${hex(vpn)}): pfn ${hex(pfn)} ${result < 0 ? `backs out${outcome(result)}` : 'read-only'}`,
  ksm_merge: (_mm, vpn, pfn, kpage) => `replace_page(${hex(vpn)}): pfn ${hex(pfn)} -> KSM page ${hex(kpage)}`,
  ksm_break: (_mm, vpn, kpage, pfn) => `break_ksm(${hex(vpn)}): KSM page ${hex(kpage)} -> pfn ${hex(pfn)}`,
  khugepaged_scan: (_mm, vpn, status) => `hpage_collapse_scan_pmd(${hex(vpn)}): ${scanResult(status)}`,
  collapse: (_mm, vpn, pfn, status) =>
    `collapse_huge_page(${hex(vpn)}): ${pfn > 0 ? `pfn ${hex(pfn)}, ` : ''}${scanResult(status)}`,
  zap: (_mm, start, end, pages) => `zap_page_range(${range(start, end)}): ${count(pages, 'page')}`,
  mprotect: (_mm, start, end, flags) => `mprotect(${range(start, end)}, flags ${hex(flags)})`,
  mmap: (_mm, start, end, flags) => `mmap(${range(start, end)}, flags ${hex(flags)})`,
  account_locked_vm: (_mm, delta, lockedVm, result) =>
    `account_locked_vm(${delta > 0 ? '+' : ''}${delta}): locked_vm ${lockedVm}${outcome(result)}`,
  hypercall: (id, a, b, result) => `${HYPERCALLS[id] ?? `hypercall ${id}`}(${hex(a)}, ${hex(b)})${outcome(result)}`,
  ownership: (pfn, hostState, hypState, gfn) =>
    `EL2: pfn ${hex(pfn)}: host ${ownership(hostState)}, hyp ${ownership(hypState)}${gfn >= 0 ? `, gfn ${hex(gfn)}` : ''}`,
  host_stage2_fault: (pfn, result) => `host stage-2 fault, pfn ${hex(pfn)}${outcome(result)}`,
  memcache: (pfn, from, to) => `memcache: pfn ${hex(pfn)}: place ${from} -> ${to}`,
  ipi_sync: (cpu, waited) => `tlb_remove_table_sync_one(): cpu${cpu}${waited !== 0 ? ', waits for it' : ''}`,
  divergence: (_vm, gfn, stage2, hostPfn) =>
    `gfn ${hex(gfn)}: guest on pfn ${hex(stage2)}, host on pfn ${hex(hostPfn)}`,
  lost_record: (_vm, gfn) => `device write to gfn ${hex(gfn)} faults`,
  lock_wait: (lock) => `waits for lock ${lock}`,
  warn: (rule, pfn) => `WARN_ON(rule ${rule}, pfn ${hex(pfn)})`,
  access: (guest, _space, page, write) =>
    `${guest !== 0 ? 'guest' : 'host'} ${write !== 0 ? 'writes' : 'reads'} ${guest !== 0 ? 'gfn' : 'vpn'} ${hex(page)}`,
  vm_create: (vm, mm, isProtected) => `kvm_create_vm(${vm}): mm ${mm}${isProtected !== 0 ? ', protected' : ''}`,
  vm_destroy: (vm, pages) => `kvm_destroy_vm(${vm}): ${count(pages, 'page')} given back`,
  mark: (mark) => `recording passes mark ${mark}`,
  message: (to, fn, x, y) => `sends ${HYPERCALLS[fn] ?? `hypercall ${fn}`}(${hex(x)}, ${hex(y)}) to actor ${to}`,
  lock_acquire: (lock, kind, mode) => `lock ${lockClass(kind).name} ${lock}, mode ${mode}`,
  lock_release: (lock, kind, mode) => `unlock ${lockClass(kind).name} ${lock}, mode ${mode}`,
  fork: (mm, child, result) => `dup_mmap(mm ${mm} -> mm ${child})${outcome(result)}`,
  fork_copy: (_mm, vpn, pfn, copy) => `copy_present_page(${hex(vpn)}): pfn ${hex(pfn)} -> ${hex(copy)} in the child`,
  file_map: (_mm, vpn, pfn, object) => `finish_fault(${hex(vpn)}): pfn ${hex(pfn)} of shared object ${object}`,
  swap_out: (_mm, vpn, pfn, slot) => `try_to_unmap_one(${hex(vpn)}): pfn ${hex(pfn)} -> swap entry ${slot}`,
  swap_in: (_mm, vpn, pfn, slot) => `do_swap_page(${hex(vpn)}): swap entry ${slot} -> pfn ${hex(pfn)}`,
  litmus_call: (call, begin, result) => (begin !== 0 ? `begins call ${call}` : `call ${call} returns ${result}`),
  pin_look: (_mm, vpn, pfn) => `folio_maybe_dma_pinned(${hex(vpn)}): pfn ${hex(pfn)} not pinned`,
  stage2_check: (_vm, gfn, seq, now) =>
    `mmu_invalidate_retry(gfn ${hex(gfn)}): seq ${now} ${now === seq ? '==' : '!='} ${seq}, goes on${
      now === seq ? '' : ' all the same'
    }`,
  reclaim: (pfn, result) => `shrink_folio_list(pfn ${hex(pfn)}): ${RECLAIMED[result] ?? `result ${result}`}`,
};

/** enum scan_result by number. */
const SCAN_NAMES = new Map<unknown, string>(
  Object.entries(khugepaged).flatMap(([name, value]) => (name.startsWith('SCAN_') ? [[value, name]] : [])),
);
const scanResult = (status: number): string => SCAN_NAMES.get(status) ?? `status ${status}`;

/** What becomes of a folio, as mm/vmscan.ts numbers it. */
const RECLAIMED = ['freed', 'kept', 'kept', 'activated', 'isolated by somebody else', 'discarded'];

const OWNERSHIP = ['OWNED', 'SHARED_OWNED', 'SHARED_BORROWED', 'NOPAGE'];
const ownership = (state: number): string => OWNERSHIP[state] ?? String(state);

/** What a reader should notice about an event, or nothing. */
function noteOf(name: string, a: number, b: number, c: number, d: number): string {
  switch (name) {
    case 'stage2_unmap':
      return d !== 0 ? 'pinned page unmapped' : '';
    case 'divergence':
      return 'host and guest see different pages';
    case 'lost_record':
      return 'record dropped';
    case 'migrate':
      return c !== 0 ? 'does not move' : '';
    case 'fault':
      return (d & (VM_FAULT_OOM | VM_FAULT_SIGBUS)) !== 0 && d > 0 ? 'access fails' : '';
    case 'host_stage2_fault':
      return b < 0 ? "not the host's page" : '';
    case 'warn':
      return a > 0 ? 'rule broken' : '';
    default:
      return '';
  }
}

/** Record `index` in words. Never throws: an unknown type is printed with its numbers. */
export function phraseOf(records: Int32Array, index: number): Phrase {
  const at = index * RECORD_WORDS + RECORD_ARGS;
  const a = records[at] ?? 0;
  const b = records[at + 1] ?? 0;
  const c = records[at + 2] ?? 0;
  const d = records[at + 3] ?? 0;
  const info = EVENT_TYPES[recordType(records, index)];
  const name = info?.name;
  const words = name === undefined ? undefined : WORDS[name];
  const text =
    words !== undefined
      ? words(a, b, c, d)
      : `${eventName(recordType(records, index))}(${(info?.args ?? [{ name: 'a' }, { name: 'b' }])
          .map((argument, n) => `${argument.name} ${[a, b, c, d][n] ?? 0}`)
          .join(', ')})`;
  return {
    text,
    note: name === undefined ? '' : noteOf(name, a, b, c, d),
    nest: name === 'notifier_start' ? 1 : name === 'notifier_end' ? -1 : 0,
  };
}

/** One event as one line: `812 numa-balancer: stage2_unmap(gfn 0x12)  <-- pinned page unmapped`. */
export function eventText(records: Int32Array, index: number, actorNames: readonly string[]): string {
  const { text, note } = phraseOf(records, index);
  const actor = recordActor(records, index);
  const mechanism =
    eventName(recordType(records, index)) === 'notifier_start'
      ? ` for ${mechanismName(records[index * RECORD_WORDS + RECORD_ARGS + 3] ?? 0)}`
      : '';
  const who = actorNames[actor] ?? `actor${actor}`;
  return `${recordTime(records, index)} ${who}: ${text}${mechanism}${note === '' ? '' : `  <-- ${note}`}`;
}
