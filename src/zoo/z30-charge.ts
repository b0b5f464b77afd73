/**
 * Z30-charge: a sibling of Z30: the other thing that a failed pkvm_mem_abort() must take back.
 *
 *     vCPU: charges (locked_vm 1), pins page P
 *     vCPU: P cannot be given: unpins it, returns -EIO, and keeps its charge
 *     VMM:  runs the vCPU again: locked_vm 2
 */
import type { Context, Coroutine } from '../machine/context.js';
import type { Bug } from './bug.js';
import { changes, looksAt } from './bug-clash.js';

// eslint-disable-next-line require-yield
function* keepCharge(_ctx: Context, _mm: number): Coroutine<void> {}

export const z30Charge: Bug = {
  id: 'Z30-charge',
  title: 'a fault that fails stays charged to RLIMIT_MEMLOCK',
  commit: '',
  fixedIn: '',
  story:
    'pkvm_mem_abort() charges a page before it pins it, and takes pin and charge back when the page cannot be mapped: since another ' +
    'vCPU was first, or since it is no page for a guest. A charge that is forgotten there stays until no page can be locked any more.',
  policy: 'pkvm-2022',
  replace: { pkvmUncharge: keepCharge },
  expect: ['I-ACCT'],
  litmus: 'z30-charge.litmus',
  clash: {
    steps: [looksAt('flags', 'pinAndMap'), changes('locked_vm', 'accountLockedVm')],
    or: [looksAt('flags', 'pinAndMap'), changes('refs', 'unpinUserPage')],
    alone: true,
    follows: 'story',
  },
};
