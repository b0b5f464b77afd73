/**
 * Z28: a walk of stage 2 knows the guest's address and the frame apart from each other.
 *
 *     vCPU 0: faults on a huge page; no logging        vCPU 1: dirty logging has begun
 *     vCPU 0: installs the block; frame += 512         -
 *     -                                                breaks the block: a table, its own page in it
 *     vCPU 0: reads the entry again: a table: goes     -
 *             down; the address has not moved, the
 *             frame has: maps what lies behind the block
 *
 * Faults hold mmu_lock for reading, so the entry may change as soon as it is in. The frame was advanced by the leaf's callback, the address
 * by the walker when it had done with the entry; since v6.4 the first is computed from the second.
 */
import type { Context, Coroutine } from '../machine/context.js';
import { reads } from '../machine/effects.js';
import { isS2Table } from '../machine/entries.js';
import { s2RootWord } from '../machine/layout.js';
import { stage2Map } from '../kvm/stage2.js';
import { readOnce } from '#words';
import type { Bug } from './bug.js';
import { changes, looksAt } from './bug-clash.js';

/** kvm_pgtable_stage2_map() whose walk looks at a block's entry once more when it has installed it. */
function* mapByRunningFrame(
  ctx: Context,
  vm: number,
  vcpu: number,
  gfn: number,
  pfn: number,
  block: boolean,
  writable: boolean,
): Coroutine {
  const { m } = ctx;
  const result = yield* stage2Map(ctx, vm, vcpu, gfn, pfn, block, writable);
  if (!block || result !== 0) return result;
  const root = s2RootWord(m, vm, gfn);
  if (--ctx.quantum < 0) yield reads(root);
  if (!isS2Table(readOnce(ctx.words, root))) return 0;
  const mask = m.thpPages - 1;
  const frame = (pfn & ~mask) + m.thpPages;
  for (let i = 0; i < m.thpPages && frame + i < m.frames; i++)
    yield* stage2Map(ctx, vm, vcpu, (gfn & ~mask) + i, frame + i, false, writable);
  return 0;
}

export const z28: Bug = {
  id: 'Z28',
  title: 'a walk of stage 2 maps wrong pages when another vCPU splits the block that it has just installed',
  commit: '1f0f4a2ef7a5 ("KVM: arm64: Infer the PA offset from IPA in stage-2 map walker")',
  fixedIn: 'v6.4',
  story:
    'The walker that maps a range kept the frame in a running state of its callback, and the guest address in its own. When parallel faults came, ' +
    'another vCPU could replace a fresh block by a table before the walker looked at it again: it went down with an address that had not moved and a frame that had.',
  policy: 'classic',
  replace: { stage2Map: mapByRunningFrame },
  expect: ['I-STALE', 'I-FREE', 'I-PERM'],
  litmus: 'z28-running-phys.litmus',
  clash: {
    steps: [looksAt('stage-2 root entry', 'mapByRunningFrame'), changes('stage-2 root entry', 'stage2Map')],
    follows: '1f0f4a2ef7a5',
  },
};
