/**
 * Every actor under the checking build (design, section 1: schedule points are complete), with vCPUs that replay a
 * recording in a narrow window. The build is chosen by a condition of the module loader, hence a process of its own.
 */
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { temporaryFolder, writeRecording } from '../lab/recordings.js';

const SCRIPT = fileURLToPath(new URL('checked-replay.mjs', import.meta.url));

/** Two vCPUs, eight pages, a mark at a quarter and one at the end. */
const recording = (): string =>
  writeRecording({
    vcpus: 2,
    frames: 8,
    accesses: Array.from({ length: 60 }, (_, i) => ({ vcpu: (i >> 1) & 1, gfn: (i * 5) % 8, write: i % 3 === 0 })),
    marks: { early: 15, end: 60 },
    snapshots: [
      [0, 1, 1, 2, 2, 0, 3, 4],
      [0, 0, 1, 1, 2, 2, 3, 3],
    ],
  });

const scenario = (folder: string): string => `title: a replaying guest with everybody around it
recording: ${folder}
machine: { nodes: 2, frames_per_node: 32, thp_order: 1, tlb_entries: 4, pcp_batch: 1, lru_batch: 0, vmas_per_process: 20 }
processes: [{ mappings: [{ start: 0, pages: recorded, flags: [read, write, mergeable, hugepage] }] }]
guests: [{ vcpus: recorded, slots: [{ pages: recorded }], pinned_range: { first_gfn: 6, pages: 2 } }]
second_subscriber: true
actors:
  - { kind: vcpu, pages: recorded, window_records: 8, ops: 50 }
  - { kind: vmm, pages: recorded, touch_weight: 3, balloon_weight: 2, mprotect_weight: 3, collapse_weight: 1, ops: 12 }
  - { kind: dma, pages: recorded, ring: { first_vpn: 2, pages: 4 }, batch_pages: 2, hold_batches: 2, long_every: 3, ops: 10 }
  - { kind: driver, pages: recorded, ops: 4 }
  - { kind: ksmd, pages_to_scan: 8, ops: 6 }
  - { kind: khugepaged, pages_to_scan: 8, ops: 4 }
  - { kind: numa-balancer, ops: 5 }
`;

it.each(['classic', 'pinned-notifiers', 'pkvm-2022'])(
  'no actor touches a word that its schedule point did not declare: %s',
  async (policy) => {
    const path = join(temporaryFolder(), 'replay.yaml');
    writeFileSync(path, scenario(recording()));
    const { stdout } = await promisify(execFile)(process.execPath, [
      '--conditions=pinfall-checked',
      SCRIPT,
      path,
      policy,
      '25',
    ]);
    expect(JSON.parse(stdout)).toEqual({ ends: { finished: 25 }, breaches: [], accused: [] });
  },
);
