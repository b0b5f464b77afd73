/** How kernel code writes an event: after the effect, and before the lock that protects it is released. */
import type { Context } from '../machine/context.js';

/**
 * Writes one event with up to four arguments.
 * @param type EVENT.<name>; the arguments are those of its row in the table
 */
export function emit(ctx: Context, type: number, a = 0, b = 0, c = 0, d = 0): void {
  ctx.events.write(type, ctx.actor, ctx.task.time, a, b, c, d);
}
