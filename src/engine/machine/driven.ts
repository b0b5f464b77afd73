/**
 * A coroutine that is driven by hand: by set-up, by the teardown, by players of litmus tests, by tests. Its driver says how far it may go
 * at once; what it waits for is looked at here. (Hosts of real threads and the one-thread engine drive theirs by other protocols: they
 * choose at every point.)
 */
import type { Context, Coroutine } from '../../machine/context.js';
import { IDLE_WORD, WAIT_LOCK, WAIT_WORD, effectKind, effectWord } from '../../machine/effects.js';
import { describeWord } from '../../machine/layout/describe.js';
import { conditionChanged } from '../../machine/wait.js';

/** More schedule points than any operation has. */
const UNBROKEN = 2 ** 30;

export class Driven<T = void> {
  readonly ctx: Context;
  done = false;
  /** What it stands before; -1: it has not begun, or is done. */
  effect = -1;
  readonly #coroutine: Coroutine<T>;
  #result: T | undefined;

  constructor(ctx: Context, coroutine: Coroutine<T>) {
    this.ctx = ctx;
    this.#coroutine = coroutine;
  }

  /** What it has returned, once it is done. */
  get result(): T {
    return this.#result as T;
  }

  /** Lets it go on over `points` schedule points, or to the next wait. It can go on. */
  resume(points = UNBROKEN): void {
    this.ctx.quantum = points;
    const step = this.#coroutine.next();
    if (step.done === true) {
      this.done = true;
      this.#result = step.value;
      this.effect = -1;
    } else this.effect = step.value;
  }

  /** Whether what it waits for has come about, if it waits. */
  get canGo(): boolean {
    const kind = effectKind(this.effect);
    if (kind !== WAIT_LOCK && kind !== WAIT_WORD && kind !== IDLE_WORD) return true;
    const { words, finish, waitValue } = this.ctx;
    return (kind === IDLE_WORD && finish) || conditionChanged(words, kind, effectWord(this.effect), waitValue);
  }

  /** Goes on until it waits or ends. False: it could not move. */
  run(): boolean {
    if (this.done || !this.canGo) return false;
    do this.resume();
    while (!this.done && this.canGo);
    return true;
  }
}

/** Somebody waits, and nobody is left to wait for. */
export class Stuck extends Error {
  override readonly name = 'Stuck';
}

/** Turns of the servers, the one that they work for standing still, after which it will not go on. */
const TURNS_MAX = 10_000;

/**
 * Runs a coroutine to its end, and `servers` whenever it waits.
 * @returns what it returns
 * @throws Stuck naming what it waits for, where nobody is left who could change it
 */
export function runToEnd<T>(
  ctx: Context,
  coroutine: Coroutine<T>,
  what: string,
  servers: readonly Driven<unknown>[] = [],
): T {
  const driven = new Driven(ctx, coroutine);
  for (let idle = 0; !driven.done;) {
    const went = driven.run();
    if (driven.done) break;
    let moved = went;
    for (const server of servers) moved = server.run() || moved;
    // a teardown may call its servers for every page: only turns in which it stands still count
    idle = went ? 0 : idle + 1;
    if (!moved || idle > TURNS_MAX) {
      throw new Stuck(`${what} waits for ${describeWord(ctx.m, effectWord(driven.effect))}, which nobody will change`);
    }
  }
  return driven.result;
}
