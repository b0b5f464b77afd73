/**
 * Z60: direct I/O gives its pin back when the request is queued, not when the device is done with it.
 *
 *     process: read(2) with O_DIRECT: pins, queues, unpins      process: munmap: the page is free
 *     -                                                         another process: gets the frame, writes
 *     device: writes what it has read                           another process: reads what the device wrote
 */
import { FOLL_PIN, FOLL_WRITE } from '../machine/abi.js';
import type { Context, Coroutine } from '../machine/context.js';
import { deviceWrites } from '../mm/direct-io.js';
import { pinUserPagesFast } from '../mm/gup/gup.js';
import type { Bug } from './bug.js';
import { changes } from './bug-clash.js';

/** The completion's unpin where the submission ends. */
function* unpinsAtSubmission(ctx: Context, mm: number, vpn: number, content: number): Coroutine {
  const pfn = yield* pinUserPagesFast(ctx, mm, vpn, FOLL_PIN | FOLL_WRITE);
  if (pfn < 0) return pfn;
  yield* ctx.kernel.unpinUserPage(ctx, pfn, true);
  yield* deviceWrites(ctx, pfn, content);
  return 0;
}

export const z60: Bug = {
  id: 'Z60',
  title: 'a page is unpinned while its device still writes to it',
  commit: '',
  fixedIn: '',
  story:
    'A driver has to keep its pins until the device has finished. Here the pin goes as soon as the transfer is queued: the page may be freed and ' +
    'given to somebody else by then, and the device, which knows frames and no page tables, writes into it.',
  policy: 'classic',
  replace: { directIoRead: unpinsAtSubmission },
  expect: ['I-DMA'],
  litmus: 'z60-unpin-before-dma.litmus',
  clash: {
    steps: [changes('refs', 'unpinsAtSubmission'), changes('content', 'unpinsAtSubmission')],
    alone: true,
    follows: 'story',
  },
};
