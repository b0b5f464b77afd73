/**
 * A worker of the second notifier subscriber, GPU-driver style: it holds the driver's mutex while it faults a user page in. Its
 * invalidate_range_start callback takes the same mutex, which a notifier under the PTL cannot do (policy (e), kernel-model 5).
 *
 *   mm                 the process
 *   first_vpn, pages   the user pages it looks up
 *   pause_us           microseconds between two look-ups (default 1000)
 *   ops                ends after so many look-ups; 0 = runs on (default 0)
 */
import { type Context, type Coroutine, randomBelow } from '../src/machine/context.js';
import { IDLE_SLEEP, IDLE_TOP, acquires, releases } from '../src/machine/effects.js';
import { GLOBAL_DRIVER_MUTEX, globalLock } from '../src/machine/layout.js';
import { contended } from '../src/machine/wait.js';
import { LOCK_DRIVER_MUTEX } from '../src/locks/classes.js';
import { mutexLock, mutexUnlock } from '../src/locks/exclusive.js';
import { writeToken } from './content.js';
import { type ActorParams, param } from './types.js';
import { touchUser } from './user-access.js';

/** The worker's loop. */
export function* driver(ctx: Context, params: ActorParams): Coroutine<void> {
  const mm = param(params, 'mm', 0);
  const first = param(params, 'first_vpn', 0);
  const pages = param(params, 'pages', ctx.m.mmPages);
  const pauseMicros = param(params, 'pause_us', 1000);
  const ops = param(params, 'ops', 0);
  const mutex = globalLock(ctx.m, GLOBAL_DRIVER_MUTEX);
  for (let done = 0; ops === 0 || done < ops; ) {
    if (ctx.finish) return;
    if (ctx.drain) {
      yield IDLE_TOP;
      continue;
    }
    if (--ctx.quantum < 0) yield acquires(mutex);
    while (!mutexLock(ctx, mutex, LOCK_DRIVER_MUTEX)) yield contended(ctx, mutex);
    yield* touchUser(ctx, mm, first + randomBelow(ctx, pages), true, writeToken(ctx));
    if (--ctx.quantum < 0) yield releases(mutex);
    mutexUnlock(ctx, mutex, LOCK_DRIVER_MUTEX);
    ctx.probe.onProgress(ctx);
    done++;
    ctx.sleepMicros = pauseMicros;
    yield IDLE_SLEEP;
  }
}
