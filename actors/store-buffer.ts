/**
 * The store buffer of a CPU in a one-thread litmus run: an actor of its own, so that every moment at which the oldest store may go to
 * memory is a step that is scheduled.
 *
 *   cpu                  whose buffer it is
 *   stores               how many stores go through it
 */
import type { Context, Coroutine } from '../src/machine/context.js';
import { writes } from '../src/machine/effects.js';
import { drainOldest, oldestStore, storedWord } from '../src/machine/store-buffer.js';
import { waitWhile } from '../src/machine/wait.js';
import { type ActorParams, param } from './types.js';

/** Ends with the last of the stores that its column does: the number is known, for columns have no branches. */
export function* storeBuffer(ctx: Context, params: ActorParams): Coroutine<void> {
  const cpu = param(params, 'cpu', 0);
  const stores = param(params, 'stores', 0);
  for (let drained = 0; drained < stores; drained++) {
    yield waitWhile(ctx, storedWord(cpu), drained);
    yield writes(oldestStore(ctx, cpu));
    drainOldest(ctx, cpu);
  }
}
