/** What an actor is to the engine: a loop in a coroutine, with numbers for parameters. */
import type { CarriedState, Context, Coroutine } from '../src/machine/context.js';

/**
 * An actor's settings, each with its unit in its name; each actor file documents its own. Absent ones have
 * defaults.
 */
export type ActorParams = Readonly<Record<string, number>>;

/**
 * An actor's loop. It ends when `ctx.finish` is set, or after `ops` operations where that parameter is above 0.
 * @param recording the recorded guest that vCPUs replay (actors/recording-view.ts), or null
 */
export type ActorMain = (ctx: Context, params: ActorParams, recording: SharedArrayBuffer | null) => Coroutine<void>;

/** The value of a parameter, or its default. */
export const param = (params: ActorParams, name: string, fallback: number): number => params[name] ?? fallback;

/** A number that the actor's loop had on the worker it comes from; 0 when it starts afresh. */
export function carried(ctx: Context, name: string): number {
  const value = ctx.carried?.[name];
  return typeof value === 'number' ? value : 0;
}

/** At the top of a loop, with `ctx.finish` set: what the loop has to know if it goes on on another worker. */
export function carry(ctx: Context, state: CarriedState): void {
  ctx.carried = ctx.leaving ? state : null;
}
