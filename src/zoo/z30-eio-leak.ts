/**
 * Z30: pkvm_mem_abort() leaves a pin behind when it refuses a page.
 *
 *     vCPU: charges, pins page P of the page cache: refs + 1024
 *     vCPU: P is not swapbacked: -EIO; uncharges, and forgets the pin
 *     VMM:  runs the vCPU again: refs + 1024 once more
 *
 * No race is needed: each KVM_RUN leaks one pin. The page can be neither reclaimed nor migrated, and the count overflows in the
 * end. Our processes have no files but memfds, whose pages are swapbacked; an anonymous page is not after MADV_FREE, and
 * meets the same test.
 */
import { EIO } from '../machine/abi.js';
import type { Context, Coroutine } from '../machine/context.js';
import { reads } from '../machine/effects.js';
import { flagsWord, folioOf } from '../mm/folio.js';
import type { Bug } from './bug.js';
import { changes, looksAt } from './bug-clash.js';

/** goto dec_account, past the unpin. */
function* refuseAndForget(ctx: Context, pfn: number): Coroutine {
  if (--ctx.quantum < 0) yield reads(flagsWord(ctx, folioOf(ctx, pfn)));
  return -EIO;
}

export const z30: Bug = {
  id: 'Z30',
  title: 'the -EIO exit of pkvm_mem_abort leaks its pin',
  commit: 'the posted patch 24/89 of May 2022 and Android 13; mended in Android 14',
  fixedIn: '',
  story:
    'Pages of the page cache cannot be given to a protected guest, since writeback would have to write-protect them at stage 2. ' +
    'pkvm_mem_abort() finds that out after it has pinned the page, and jumped to the label that only takes the charge back: each ' +
    'attempt leaves 1024 references behind.',
  policy: 'pkvm-2022',
  replace: { pkvmRefusePage: refuseAndForget },
  expect: ['I-REF'],
  litmus: 'z30-eio-leak.litmus',
  clash: {
    steps: [looksAt('flags', 'pinAndMap'), changes('refs', 'pinUserPages')],
    or: [looksAt('flags', 'pinAndMap'), changes('locked_vm', 'pkvmUncharge')],
    alone: true,
    follows: 'story',
  },
};
