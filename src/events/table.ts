/**
 * The one table of event types: name, the room it comes from, and the names of its arguments with their kinds. The
 * TypeScript union, the text form and every exporter are derived from it. Kernel code names a type by EVENT.<name>.
 *
 * Argument kinds: pfn, vpn, gfn, mm, vm, vma, lock (word), entry (a PTE), errno, flags, cpu, count, node, bool, mech.
 */
export const EVENT_TABLE = [
  ['sched_operation', 'operation:op', 'begin:bool', 'a:count', 'b:count'],
  ['fault', 'mm:mm', 'vpn:vpn', 'flags:flags', 'result:errno'],
  ['anon_map', 'mm:mm', 'vpn:vpn', 'pfn:pfn', 'order:count'],
  ['wp_copy', 'mm:mm', 'vpn:vpn', 'old:pfn', 'new:pfn'],
  ['wp_reuse', 'mm:mm', 'vpn:vpn', 'pfn:pfn', 'unshare:bool'],
  ['pte_change', 'mm:mm', 'vpn:vpn', 'old:entry', 'new:entry'],
  ['pmd_change', 'mm:mm', 'vpn:vpn', 'old:entry', 'new:entry'],
  ['page_pin', 'mm:mm', 'vpn:vpn', 'pfn:pfn', 'flags:flags'],
  ['page_unpin', 'pfn:pfn', 'refs:count', 'a:count', 'b:count'],
  ['gup_failed', 'mm:mm', 'vpn:vpn', 'flags:flags', 'result:errno'],
  ['page_alloc', 'pfn:pfn', 'order:count', 'node:node', 'a:count'],
  ['page_free', 'pfn:pfn', 'order:count', 'a:count', 'b:count'],
  ['notifier_start', 'mm:mm', 'start:vpn', 'end:vpn', 'mech:mech'],
  ['notifier_end', 'mm:mm', 'start:vpn', 'end:vpn', 'mech:mech'],
  ['kvm_unmap', 'vm:vm', 'start:gfn', 'end:gfn', 'unmapped:count'],
  ['stage2_map', 'vm:vm', 'gfn:gfn', 'pfn:pfn', 'writable:bool'],
  ['stage2_unmap', 'vm:vm', 'gfn:gfn', 'pfn:pfn', 'pinned:bool'],
  ['stage2_fault', 'vm:vm', 'gfn:gfn', 'write:bool', 'result:errno'],
  ['stage2_retry', 'vm:vm', 'gfn:gfn', 'seq:count', 'in_progress:count'],
  ['tlb_flush', 'guest:bool', 'space:count', 'start:vpn', 'end:vpn'],
  ['split_huge_pmd', 'mm:mm', 'vpn:vpn', 'pfn:pfn', 'freeze:bool'],
  ['split_folio', 'pfn:pfn', 'result:errno', 'refs:count', 'expected:count'],
  ['numa_protect', 'mm:mm', 'vpn:vpn', 'pfn:pfn', 'huge:bool'],
  ['numa_skip_pinned', 'mm:mm', 'vpn:vpn', 'pfn:pfn', 'a:count'],
  ['numa_hint_fault', 'mm:mm', 'vpn:vpn', 'pfn:pfn', 'node:node'],
  ['migrate', 'src:pfn', 'dst:pfn', 'result:errno', 'pass:count'],
  ['migration_entry', 'mm:mm', 'vpn:vpn', 'pfn:pfn', 'installed:bool'],
  ['ksm_scan', 'mm:mm', 'vpn:vpn', 'pfn:pfn', 'checksum:count'],
  ['ksm_write_protect', 'mm:mm', 'vpn:vpn', 'pfn:pfn', 'result:errno'],
  ['ksm_merge', 'mm:mm', 'vpn:vpn', 'pfn:pfn', 'kpage:pfn'],
  ['ksm_break', 'mm:mm', 'vpn:vpn', 'kpage:pfn', 'pfn:pfn'],
  ['khugepaged_scan', 'mm:mm', 'vpn:vpn', 'status:count', 'a:count'],
  ['collapse', 'mm:mm', 'vpn:vpn', 'pfn:pfn', 'status:count'],
  ['zap', 'mm:mm', 'start:vpn', 'end:vpn', 'pages:count'],
  ['mprotect', 'mm:mm', 'start:vpn', 'end:vpn', 'flags:flags'],
  ['mmap', 'mm:mm', 'start:vpn', 'end:vpn', 'flags:flags'],
  ['account_locked_vm', 'mm:mm', 'delta:count', 'locked_vm:count', 'result:errno'],
  ['hypercall', 'function:count', 'a:count', 'b:count', 'result:errno'],
  ['ownership', 'pfn:pfn', 'host:count', 'hyp:count', 'gfn:gfn'],
  ['host_stage2_fault', 'pfn:pfn', 'result:errno', 'a:count', 'b:count'],
  ['memcache', 'pfn:pfn', 'from:count', 'to:count', 'a:count'],
  ['ipi_sync', 'cpu:cpu', 'waited:bool', 'a:count', 'b:count'],
  ['divergence', 'vm:vm', 'gfn:gfn', 'stage2:pfn', 'host:pfn'],
  ['lost_record', 'vm:vm', 'gfn:gfn', 'a:count', 'b:count'],
  ['lock_wait', 'lock:lock', 'class:count', 'a:count', 'b:count'],
  ['warn', 'rule:count', 'pfn:pfn', 'a:count', 'b:count'],
  ['access', 'guest:bool', 'space:count', 'page:vpn', 'write:bool'],
  ['vm_create', 'vm:vm', 'mm:mm', 'protected:bool', 'a:count'],
  ['vm_destroy', 'vm:vm', 'pages:count', 'a:count', 'b:count'],
  ['mark', 'mark:count', 'a:count', 'b:count', 'c:count'],
  ['message', 'to:cpu', 'function:count', 'x:count', 'y:count'],
  ['lock_acquire', 'lock:lock', 'class:count', 'mode:count', 'a:count'],
  ['lock_release', 'lock:lock', 'class:count', 'mode:count', 'a:count'],
  ['fork', 'mm:mm', 'child:mm', 'result:errno', 'a:count'],
  ['fork_copy', 'mm:mm', 'vpn:vpn', 'pfn:pfn', 'copy:pfn'],
  ['file_map', 'mm:mm', 'vpn:vpn', 'pfn:pfn', 'object:count'],
  ['swap_out', 'mm:mm', 'vpn:vpn', 'pfn:pfn', 'slot:count'],
  ['swap_in', 'mm:mm', 'vpn:vpn', 'pfn:pfn', 'slot:count'],
  ['reclaim', 'pfn:pfn', 'result:count', 'slot:count', 'a:count'],
] as const;

export type EventName = (typeof EVENT_TABLE)[number][0];

/** EVENT.fault and so on: the type's number in a record. 0 is no event. */
export const EVENT = Object.freeze(
  Object.fromEntries(EVENT_TABLE.map((row, index) => [row[0], index + 1])),
) as Readonly<Record<EventName, number>>;
