/** A guest with everybody at work on few pages, so that all have to do with all. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from './recordings.js';

export const TINY = `title: tiny
machine:
  { nodes: 2, frames_per_node: 512, thp_order: 3, tlb_entries: 64, pcp_batch: 4, lru_batch: 3, vmas_per_process: 60 }
processes:
  - mappings: [{ start: 0, pages: 256, flags: [read, write, mergeable, hugepage] }]
guests:
  - { vcpus: 2, slots: [{ pages: 256 }], pinned_range: { first_gfn: 16, pages: 8 } }
actors:
  - { kind: vcpu, pages: 256, workload: boot-storm, write_percent: 30, duplicate_percent: 60, duplicate_kinds: 8 }
  - { kind: vmm, pages: 256, balloon_weight: 5, mprotect_weight: 10, collapse_weight: 2, mprotect_pages: 3, pause_us: 50 }
  - { kind: dma, pages: 256, batch_pages: 2, hold_batches: 8, long_every: 4, long_batches: 16, pause_us: 50 }
  - { kind: ksmd, pages_to_scan: 64, sleep_us: 2000 }
  - { kind: khugepaged, pages_to_scan: 64, sleep_us: 2000 }
  - { kind: numa-balancer, period_us: 2000 }
`;

/** Writes a scenario file; returns its path. */
export function scenarioFile(text: string): string {
  const path = join(temporaryFolder(), 'tiny.yaml');
  writeFileSync(path, text);
  return path;
}
