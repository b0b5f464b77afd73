/** Litmus operations on references to pages: who takes them and gives them back, and what a device does through them. */
import { EFAULT, FOLL_FORCE, FOLL_GET, FOLL_LONGTERM } from '../../src/machine/abi.js';
import type { Context, Coroutine } from '../../src/machine/context.js';
import { reads, writes } from '../../src/machine/effects.js';
import { PAGE_CONTENT, pageWord } from '../../src/machine/layout.js';
import { mmapReadLock, mmapReadUnlock } from '../../src/locks/vma-lock.js';
import { ZERO_PFN } from '../../src/mm/folio.js';
import { gupPutFolio } from '../../src/mm/gup/grab.js';
import { NO_PAGE } from '../../src/mm/gup/follow.js';
import { getUserPagesUnlocked, pinUserPagesFast } from '../../src/mm/gup/gup.js';
import { readOnce, xchg } from '#words';
import type { LitmusOperation } from './row.js';
import type { LitmusTask } from '../../src/plan/litmus.js';
import { givesBack, register } from './registers.js';

type Args = readonly number[];
const at = (args: Args, i: number): number => args[i] as number;

function* pin(ctx: Context, _task: LitmusTask, args: Args): Coroutine {
  const mm = at(args, 0);
  yield* mmapReadLock(ctx, mm);
  const pfn = yield* ctx.kernel.pinUserPages(ctx, mm, at(args, 1), at(args, 2));
  yield* mmapReadUnlock(ctx, mm);
  return returned(ctx, pfn, at(args, 2));
}

/** What a pin call has returned: a page or -errno. */
function returned(ctx: Context, pfn: number, flags: number): number {
  if (pfn >= 0 && (flags & FOLL_LONGTERM) !== 0) ctx.probe.onLongtermPin(ctx, pfn);
  return pfn;
}

function* pinFast(ctx: Context, _task: LitmusTask, args: Args): Coroutine {
  const flags = at(args, 2);
  return returned(ctx, yield* pinUserPagesFast(ctx, at(args, 0), at(args, 1), flags), flags);
}

function* get(ctx: Context, _task: LitmusTask, args: Args): Coroutine {
  return held(ctx, yield* getUserPagesUnlocked(ctx, at(args, 0), at(args, 1), at(args, 2)));
}

/** What a call with FOLL_GET has returned: a page, which somebody keeps from now on, or -errno. */
function held(ctx: Context, pfn: number): number {
  if (pfn >= 0 && pfn !== ZERO_PFN) ctx.probe.onHeld(ctx, pfn, 1);
  return pfn;
}

function* getFast(ctx: Context, task: LitmusTask, args: Args): Coroutine {
  const flags = at(args, 2);
  const fast =
    (flags & FOLL_FORCE) !== 0 ? NO_PAGE : yield* ctx.kernel.gupFast(ctx, at(args, 0), at(args, 1), flags | FOLL_GET);
  return fast >= 0 ? held(ctx, fast) : yield* get(ctx, task, args);
}

function* unpin(ctx: Context, _task: LitmusTask, args: Args): Coroutine {
  const pfn = register(ctx, at(args, 0));
  givesBack(ctx, at(args, 0));
  if (pfn >= 0) yield* ctx.kernel.unpinUserPage(ctx, pfn, false);
  return 0;
}

function* put(ctx: Context, _task: LitmusTask, args: Args): Coroutine {
  const pfn = register(ctx, at(args, 0));
  givesBack(ctx, at(args, 0));
  if (pfn > ZERO_PFN) {
    ctx.probe.onHeld(ctx, pfn, -1);
    yield* gupPutFolio(ctx, pfn, FOLL_GET);
  }
  return 0;
}

/** A device, or a pipe that vmsplice filled, reads the page: it knows nothing of page tables. */
function* pinRead(ctx: Context, _task: LitmusTask, args: Args): Coroutine {
  const pfn = register(ctx, at(args, 0));
  if (pfn < 0) return pfn;
  const word = pageWord(ctx.m, pfn, PAGE_CONTENT);
  if (--ctx.quantum < 0) yield reads(word);
  if (pfn !== ZERO_PFN) ctx.probe.onDeviceAccess(ctx, pfn, at(args, 0));
  const content = readOnce(ctx.words, word);
  ctx.probe.onPinRead(ctx, pfn, content);
  return content;
}

function* pinWrite(ctx: Context, _task: LitmusTask, args: Args): Coroutine {
  const pfn = register(ctx, at(args, 0));
  if (pfn < 0) return pfn;
  if (pfn === ZERO_PFN) return -EFAULT;
  const word = pageWord(ctx.m, pfn, PAGE_CONTENT);
  if (--ctx.quantum < 0) yield writes(word);
  ctx.probe.onDeviceAccess(ctx, pfn, at(args, 0));
  xchg(ctx.words, word, at(args, 1));
  ctx.probe.onDeviceWrite(ctx, pfn, at(args, 1));
  return 0;
}

export const LITMUS_PINS: readonly LitmusOperation[] = [
  { name: 'pin', params: ['page', 'foll'], by: 'task', result: 'pfn', summary: 'pin_user_pages()', run: pin },
  {
    name: 'pin_fast',
    params: ['page', 'foll'],
    by: 'task',
    result: 'pfn',
    summary: 'pin_user_pages_fast()',
    run: pinFast,
  },
  { name: 'get', params: ['page', 'foll'], by: 'task', result: 'pfn', summary: 'get_user_pages_unlocked()', run: get },
  {
    name: 'get_fast',
    params: ['page', 'foll'],
    by: 'task',
    result: 'pfn',
    summary: 'get_user_pages_fast()',
    run: getFast,
  },
  {
    name: 'unpin',
    params: ['register'],
    by: 'any',
    result: 'errno',
    summary: 'unpin_user_page() of what a pin returned',
    run: unpin,
  },
  {
    name: 'put',
    params: ['register'],
    by: 'any',
    result: 'errno',
    summary: 'put_page() of what a get returned',
    run: put,
  },
  {
    name: 'pin_read',
    params: ['register'],
    by: 'any',
    result: 'value',
    summary: 'a device reads through a pin',
    run: pinRead,
  },
  {
    name: 'pin_write',
    params: ['register', 'value'],
    by: 'any',
    result: 'errno',
    summary: 'a device writes through a pin',
    run: pinWrite,
  },
];
