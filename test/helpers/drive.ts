/**
 * Drives kernel coroutines by hand: one actor to its end, or several interleaved at chosen points.
 */
import { SMALL_MACHINE, type MachineConfig } from '#src/machine/config.js';
import { Context, type Coroutine, type Kernel, Probe } from '#src/machine/context.js';
import { EFFECT_NAMES, effectKind, effectWord } from '#src/machine/effects.js';
import { Machine } from '#src/machine/layout.js';
import { Driven } from '#src/engine/machine/driven.js';
import { bootMachine, nodeOfCpu } from '#src/mm/boot.js';

/** A booted machine: SMALL_MACHINE with changes. */
export function makeMachine(changes: Partial<MachineConfig> = {}): Machine {
  const m = new Machine({ ...SMALL_MACHINE, ...changes });
  bootMachine(m);
  return m;
}

/** An actor that yields at every schedule point, as in one-thread runs. Its CPU is `actor`. */
export function makeContext(m: Machine, actor: number, kernel: Kernel, probe: Probe = new Probe()): Context {
  const ctx = new Context(m, kernel, probe, { write: () => {} }, actor, nodeOfCpu(m, actor), 1);
  ctx.quantum = 0;
  ctx.tick = 0;
  return ctx;
}

const STEPS_MAX = 5_000_000;

const describeEffect = (effect: number): string =>
  `${EFFECT_NAMES[effectKind(effect)] ?? '?'} of word ${effectWord(effect)}`;

/** Runs a coroutine to its end; throws when it would wait for somebody. */
export function runToEnd<T>(gen: Coroutine<T>, ctx: Context): T {
  const driven = new Driven(ctx, gen);
  for (let step = 0; step < STEPS_MAX; step++) {
    if (!driven.canGo) {
      throw new Error(`actor ${ctx.actor} would wait: ${describeEffect(driven.effect)} = ${ctx.waitValue}`);
    }
    driven.resume(ctx.quantum);
    if (driven.done) return driven.result;
  }
  throw new Error(`actor ${ctx.actor} does not end within ${STEPS_MAX} steps`);
}

/**
 * One actor's coroutine, to be stepped. `effect` is what it stands before; performing it is the next step.
 */
export class Stepped<T> extends Driven<T> {
  constructor(ctx: Context, gen: Coroutine<T>) {
    super(ctx, gen);
    this.step();
  }

  /** Performs one step. False: it is done, or it waits. */
  step(): boolean {
    if (this.done || !this.canGo) return false;
    this.resume(this.ctx.quantum);
    return true;
  }

  /** Steps until it stands before an effect of this kind on this word. Throws when it never does. */
  until(kind: number, word: number): void {
    const wanted = (word << 4) | kind;
    while (this.effect !== wanted) {
      if (!this.step() || this.done)
        throw new Error(`actor ${this.ctx.actor} never comes to ${describeEffect(wanted)}`);
    }
  }

  /** Steps until it waits or is done. Returns whether it is done. */
  runOn(): boolean {
    while (!this.done && this.step());
    return this.done;
  }

  /** Runs to the end; throws when it waits. */
  finish(): T {
    if (!this.runOn()) throw new Error(`actor ${this.ctx.actor} waits: ${describeEffect(this.effect)}`);
    return this.result;
  }
}

/** Runs several coroutines in turn, one step each, until all are done. Throws at a deadlock. */
export function runAll(all: readonly Stepped<unknown>[]): void {
  while (all.some((one) => !one.done)) {
    let moved = false;
    for (const one of all) moved = one.step() || moved;
    if (!moved)
      throw new Error(
        `deadlock: ${all
          .filter((one) => !one.done)
          .map((one) => describeEffect(one.effect))
          .join('; ')}`,
      );
  }
}
