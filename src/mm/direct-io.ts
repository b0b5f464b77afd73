/**
 * Direct I/O of one page (block/fops.c __blkdev_direct_IO(), block/bio.c, v6.18): the page is pinned, the device writes it (a read of the
 * process) past all page tables, and the completion gives the pin back, dirty.
 */
import { FOLL_PIN, FOLL_WRITE } from '../machine/abi.js';
import type { Context, Coroutine } from '../machine/context.js';
import { writes } from '../machine/effects.js';
import { PAGE_CONTENT, pageWord } from '../machine/layout.js';
import { xchg } from '#words';
import { pinUserPagesFast } from './gup/gup.js';

/** read(2) with O_DIRECT into the page at (mm, vpn), of a file that holds `content` there: 0, or what the pin failed with. */
export function* directIoRead(ctx: Context, mm: number, vpn: number, content: number): Coroutine {
  const pfn = yield* pinUserPagesFast(ctx, mm, vpn, FOLL_PIN | FOLL_WRITE);
  if (pfn < 0) return pfn;
  yield* deviceWrites(ctx, pfn, content);
  yield* ctx.kernel.unpinUserPage(ctx, pfn, true);
  return 0;
}

/** The device's transfer: it knows frames only. */
export function* deviceWrites(ctx: Context, pfn: number, content: number): Coroutine<void> {
  const word = pageWord(ctx.m, pfn, PAGE_CONTENT);
  if (--ctx.quantum < 0) yield writes(word);
  ctx.probe.onDeviceAccess(ctx, pfn, -1);
  xchg(ctx.words, word, content);
  ctx.probe.onDeviceWrite(ctx, pfn, content);
}
