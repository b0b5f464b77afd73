/** Litmus operations on frames as such: what a broken memory cell does. */
import { PG_HAS_HWPOISONED, PG_HWPOISON } from '../../src/machine/abi.js';
import { type Context, type Coroutine, REF_TEMP } from '../../src/machine/context.js';
import { updates } from '../../src/machine/effects.js';
import { flagsWord, folioOf, folioPut, folioTestLarge, setFlag } from '../../src/mm/folio.js';
import { memoryFailure } from '../../src/mm/memory-failure.js';
import { getMappedPage } from './mm.js';
import type { LitmusOperation } from './row.js';
import type { LitmusTask } from '../../src/plan/litmus.js';

/** The first thing that memory_failure() does (mm/memory-failure.c, v6.18): the page is marked; nobody is unmapped yet. */
function* poison(ctx: Context, _task: LitmusTask, args: readonly number[]): Coroutine {
  const pfn = yield* getMappedPage(ctx, args[0] as number, args[1] as number);
  if (pfn < 0) return pfn;
  const head = folioOf(ctx, pfn);
  if (--ctx.quantum < 0) yield updates(flagsWord(ctx, pfn));
  setFlag(ctx, pfn, PG_HWPOISON);
  if (folioTestLarge(ctx, head)) {
    if (--ctx.quantum < 0) yield updates(flagsWord(ctx, head));
    setFlag(ctx, head, PG_HAS_HWPOISONED);
  }
  yield* folioPut(ctx, head, REF_TEMP);
  return 0;
}

/** MADV_HWPOISON of one page (mm/madvise.c madvise_inject_error, v6.18): the whole of memory_failure(). */
function* failMemory(ctx: Context, _task: LitmusTask, args: readonly number[]): Coroutine {
  const pfn = yield* getMappedPage(ctx, args[0] as number, args[1] as number);
  return pfn < 0 ? pfn : yield* memoryFailure(ctx, pfn);
}

export const LITMUS_FRAMES: readonly LitmusOperation[] = [
  { name: 'poison', params: ['page'], by: 'any', result: 'errno', summary: 'the page is marked broken', run: poison },
  {
    name: 'memory_failure',
    params: ['page'],
    by: 'any',
    result: 'errno',
    summary: 'memory_failure() of the page: who maps it is unmapped',
    run: failMemory,
  },
];
