/** A probe that also writes events of locks and operations: for traces that show who held what, and for how long. */
import type { Context, LockClass } from '../../machine/context.js';
import { emit } from '../../events/emit.js';
import { EVENT } from '../../events/table.js';
import type { OracleProbe } from './probe.js';

type ProbeClass<Arguments extends unknown[]> = new (...args: Arguments) => OracleProbe;

/** The class with events of every acquisition, release and operation. One class for each level, so that its calls stay monomorphic. */
export function withLockEvents<Arguments extends unknown[]>(Base: ProbeClass<Arguments>): ProbeClass<Arguments> {
  return class TracingProbe extends (Base as ProbeClass<unknown[]>) {
    override onAcquire(ctx: Context, lock: number, kind: LockClass, mode: number, trylock: boolean): void {
      super.onAcquire(ctx, lock, kind, mode, trylock);
      emit(ctx, EVENT.lock_acquire, lock, kind, mode, 0);
    }

    override onRelease(ctx: Context, lock: number, kind: LockClass, mode: number): void {
      emit(ctx, EVENT.lock_release, lock, kind, mode, 0);
      super.onRelease(ctx, lock, kind, mode);
    }

    override onOperation(ctx: Context, operation: number, begin: boolean): void {
      super.onOperation(ctx, operation, begin);
      emit(ctx, EVENT.sched_operation, operation, begin ? 1 : 0, 0, 0);
    }
  } as ProbeClass<Arguments>;
}
