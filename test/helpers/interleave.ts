/**
 * Several actors against each other in a test, on one thread: each stepped by hand, or all in an order that a seed
 * decides. An actor that waits for a word is resumed only once it has changed.
 */
import { type Context, type Coroutine, mixSeed } from '#src/machine/context.js';
import { effectWord } from '#src/machine/effects.js';
import { Driven } from '#src/engine/machine/driven.js';

/** One actor. It stands before `effect`; -1 before its first step and after its last. */
export class Task<T = unknown> extends Driven<T> {
  /** Not waited for; told to finish when all others are done. */
  readonly server: boolean;

  constructor(ctx: Context, coroutine: Coroutine<T>, server = false) {
    super(ctx, coroutine);
    this.server = server;
  }

  get enabled(): boolean {
    return !this.done && this.canGo;
  }

  /** Goes to the next schedule point. */
  step(): void {
    this.resume(0);
  }

  /** Goes on until it stands before an effect for which `reached` holds, or is done. Throws when it waits. */
  stepUntil(reached: (effect: number) => boolean): void {
    while (!this.done && !(this.effect >= 0 && reached(this.effect))) {
      if (!this.enabled) throw new Error(`waits for word ${effectWord(this.effect)} before it gets there`);
      this.step();
    }
  }

  /** Goes to the end, and returns the result. */
  finish(): T {
    this.stepUntil(() => false);
    return this.result;
  }
}

/**
 * Runs tasks against each other until all but the servers are done.
 * @param seed decides who goes next: the same seed, the same run
 * @param between called after each step
 * @returns the steps taken. Throws on a deadlock, and after `limit` steps
 */
export function interleave(tasks: readonly Task[], seed: number, between?: () => void, limit = 2_000_000): number {
  let random = mixSeed(seed, 77);
  for (let steps = 0; steps < limit; steps++) {
    if (tasks.every((task) => task.done || task.server)) {
      for (const task of tasks) {
        task.ctx.finish = true;
        if (!task.done) task.finish();
      }
      return steps;
    }
    const ready = tasks.filter((task) => task.enabled);
    if (ready.length === 0) {
      throw new Error(
        `deadlock after ${steps} steps: ${tasks.map((t, i) => `${i} at word ${effectWord(t.effect)}`).join(', ')}`,
      );
    }
    random ^= random << 13;
    random ^= random >>> 17;
    random ^= random << 5;
    (ready[(random >>> 0) % ready.length] as Task).step();
    between?.();
  }
  throw new Error(`no end after ${limit} steps`);
}
