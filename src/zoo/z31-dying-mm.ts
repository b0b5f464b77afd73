/**
 * Z31: ksmd walks the VMAs of a process that has ended while ksmd waited for its mmap_lock.
 *
 *     ksmd: its cursor is at this process; waits for mmap_lock
 *     process: exits: ksmd is inside, so it only takes mmap_lock for writing once and leaves its slot to ksmd
 *     process: exit_mmap: the tree of VMAs is destroyed
 *     ksmd: has mmap_lock: walks the tree         (the test for a dying process comes with the first VMA)
 */
import {
  KSM_SCAN_MM,
  MM_KSM_SLOT,
  GLOBAL_KSM_THREAD_MUTEX,
  globalLock,
  globalWord,
  mmWord,
} from '../machine/layout.js';
import { glance } from '../machine/words/extra-accesses.js';
import type { Context, Coroutine } from '../machine/context.js';
import { reads } from '../machine/effects.js';
import { mmapWriteLock, mmapWriteUnlock } from '../locks/vma-lock.js';
import { ksmExit } from '../mm/ksm/ksm.js';
import { readOnce } from '#words';
import type { Bug } from './bug.js';
import { locks, looksAt } from './bug-clash.js';

/**
 * __ksm_exit(): waits for the batch under way nowhere but at mmap_lock, and hands the slot over to ksmd where its cursor stands there.
 * (The kernel here waits for ksm_thread_mutex, which would hide what is to be shown.)
 */
function* leaveToKsmd(ctx: Context, mm: number): Coroutine<void> {
  const { m, words } = ctx;
  const mutex = globalLock(m, GLOBAL_KSM_THREAD_MUTEX);
  if (--ctx.quantum < 0) yield reads(mutex);
  const isScanned = readOnce(words, mutex) !== 0 && glance(words, globalWord(m, KSM_SCAN_MM)) === mm;
  if (!isScanned || glance(words, mmWord(m, mm, MM_KSM_SLOT)) === 0) return yield* ksmExit(ctx, mm);
  yield* mmapWriteLock(ctx, mm);
  yield* mmapWriteUnlock(ctx, mm);
}

export const z31: Bug = {
  id: 'Z31',
  title: 'ksmd walks the VMAs of a process that has exited',
  commit: '6db504ce55bd ("mm/ksm: fix race with VMA iteration and mm_struct teardown")',
  fixedIn: 'v6.3',
  story:
    'A process that exits while ksmd is at it does not wait for more than mmap_lock. ksmd, which takes that lock next, looked whether the ' +
    'process was dying only inside the iteration over its VMAs: the first step of it read a tree that exit_mmap() had destroyed.',
  policy: 'classic',
  replace: { ksmTestExit: () => false, ksmExit: leaveToKsmd },
  expect: ['I-UAFNODE'],
  litmus: 'z31-dying-mm.litmus',
  clash: {
    steps: [locks('mmap_lock', 'scanGetNextRmapItem'), locks('mmap_lock', 'exitMmap')],
    or: [locks('ksm_thread_mutex', 'ksmDoScan'), looksAt('ksm_thread_mutex', 'exitMmap')],
    follows: '6db504ce55bd',
  },
};
