/**
 * A second notifier subscriber, as GPU drivers have one: its invalidate_range_start takes the driver's mutex, which its
 * own workers hold while they look user pages up. Legal as long as the notifier may sleep; under a PTL it is the
 * deadlock of policy (e) (kernel-model 5 (e)).
 */
import { EAGAIN } from '../machine/abi.js';
import type { Context, Coroutine, SubscriberOps } from '../machine/context.js';
import { acquires, releases, tries } from '../machine/effects.js';
import { GLOBAL_DRIVER_MUTEX, globalLock } from '../machine/layout.js';
import { contended } from '../machine/wait.js';
import { LOCK_DRIVER_MUTEX } from '../locks/classes.js';
import { mutexLock, mutexTrylock, mutexUnlock } from '../locks/exclusive.js';

/** The callbacks of SUBSCRIBER_DRIVER. The device has no entries here to take away: the mutex is what matters. */
export const DRIVER_SUBSCRIBER: SubscriberOps = {
  *invalidateRangeStart(
    ctx: Context,
    _id: number,
    _start: number,
    _end: number,
    _event: number,
    blockable: boolean,
  ): Coroutine {
    const mutex = globalLock(ctx.m, GLOBAL_DRIVER_MUTEX);
    if (--ctx.quantum < 0) yield blockable ? acquires(mutex) : tries(mutex);
    if (!blockable) {
      if (!mutexTrylock(ctx, mutex, LOCK_DRIVER_MUTEX)) return -EAGAIN;
    } else {
      while (!mutexLock(ctx, mutex, LOCK_DRIVER_MUTEX)) yield contended(ctx, mutex);
    }
    if (--ctx.quantum < 0) yield releases(mutex);
    mutexUnlock(ctx, mutex, LOCK_DRIVER_MUTEX);
    return 0;
  },
  *invalidateRangeEnd(): Coroutine<void> {},
  *release(): Coroutine<void> {},
};
