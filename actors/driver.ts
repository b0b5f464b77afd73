/**
 * A worker of the second notifier subscriber, GPU-driver style: it holds the driver's mutex while it looks a user
 * page up, which takes that page's PTL. The driver's invalidate_range_start callback takes the same mutex: from
 * under a PTL that is the deadlock of policy (e) (kernel-model 5). The page is faulted in before, outside the
 * mutex: a fault may send a notifier itself.
 *
 *   mm                 the process
 *   first_vpn, pages   the user pages it looks up
 *   pause_us           microseconds between two look-ups (default 1000)
 *   ops                ends after so many look-ups; 0 = runs on (default 0)
 */
import { FOLL_GET } from '../src/machine/abi.js';
import { type Context, type Coroutine, randomBelow } from '../src/machine/context.js';
import { IDLE_SLEEP, IDLE_TOP, acquires, releases } from '../src/machine/effects.js';
import { GLOBAL_DRIVER_MUTEX, globalLock } from '../src/machine/layout.js';
import { contended } from '../src/machine/wait.js';
import { LOCK_DRIVER_MUTEX } from '../src/locks/classes.js';
import { mutexLock, mutexUnlock } from '../src/locks/exclusive.js';
import { mmapReadLock, mmapReadUnlock } from '../src/locks/vma-lock.js';
import { NO_PAGE } from '../src/mm/gup/follow.js';
import { gupPutFolio } from '../src/mm/gup/grab.js';
import { findVma } from '../src/mm/vma/vma.js';
import { writeToken } from './content.js';
import { type ActorParams, carried, carry, param } from './types.js';
import { touchUser } from './user-access.js';

/** The worker's loop. */
export function* driver(ctx: Context, params: ActorParams): Coroutine<void> {
  const mm = param(params, 'mm', 0);
  const first = param(params, 'first_vpn', 0);
  const pages = param(params, 'pages', ctx.m.mmPages);
  const ops = param(params, 'ops', 0);
  let done = carried(ctx, 'done');
  while (ops === 0 || done < ops) {
    if (ctx.finish) break;
    if (ctx.drain) {
      yield IDLE_TOP;
      continue;
    }
    const vpn = first + randomBelow(ctx, pages);
    yield* touchUser(ctx, mm, vpn, true, writeToken(ctx));
    yield* lookUp(ctx, mm, vpn);
    ctx.probe.onProgress(ctx);
    done++;
    ctx.sleepMicros = param(params, 'pause_us', 1000);
    yield IDLE_SLEEP;
  }
  carry(ctx, { done });
}

/** Takes and drops a reference to the page at `vpn`, if there is one, under the driver's mutex. */
function* lookUp(ctx: Context, mm: number, vpn: number): Coroutine<void> {
  const mutex = globalLock(ctx.m, GLOBAL_DRIVER_MUTEX);
  yield* mmapReadLock(ctx, mm);
  const vma = findVma(ctx, mm, vpn);
  if (--ctx.quantum < 0) yield acquires(mutex);
  while (!mutexLock(ctx, mutex, LOCK_DRIVER_MUTEX)) yield contended(ctx, mutex);
  const pfn = vma >= 0 ? yield* ctx.kernel.followPagePte(ctx, mm, vma, vpn, FOLL_GET) : NO_PAGE;
  if (pfn >= 0) yield* gupPutFolio(ctx, pfn, FOLL_GET);
  if (--ctx.quantum < 0) yield releases(mutex);
  mutexUnlock(ctx, mutex, LOCK_DRIVER_MUTEX);
  yield* mmapReadUnlock(ctx, mm);
}
