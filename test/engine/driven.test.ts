/** Coroutines that are driven by hand: to their ends by as many calls of a server as it takes, and no further than somebody can help. */
import { describe, expect, it } from 'vitest';
import { Driven, runToEnd } from '#src/engine/machine/driven.js';
import { BASE_KERNEL } from '#src/engine/machine/kernel.js';
import type { Context, Coroutine } from '#src/machine/context.js';
import { HDR_REGISTERS } from '#src/machine/layout.js';
import { idleWhile, waitWhile } from '#src/machine/wait.js';
import { makeContext, makeMachine } from '../helpers/drive.js';

const WORD = HDR_REGISTERS;

function* calls(ctx: Context, count: number): Coroutine<number> {
  for (let i = 0; i < count; i++) {
    ctx.words[WORD] = 1;
    yield waitWhile(ctx, WORD, 1);
  }
  return count;
}

function* serves(ctx: Context): Coroutine<void> {
  for (;;) {
    while (ctx.words[WORD] === 0) yield idleWhile(ctx, WORD, 0);
    ctx.words[WORD] = 0;
  }
}

describe('a coroutine driven to its end', () => {
  const m = makeMachine();
  const contextOf = (cpu: number): Context => makeContext(m, cpu, BASE_KERNEL);

  it('may call its server as often as it has pages: 30,000 times', () => {
    const [ctx, own] = [contextOf(0), contextOf(1)];
    const server = new Driven(own, serves(own));
    expect(runToEnd(ctx, calls(ctx, 30_000), 'the test', [server])).toBe(30_000);
  });

  it('is told of where nobody serves it', () => {
    const ctx = contextOf(0);
    expect(() => runToEnd(ctx, calls(ctx, 1), 'the test')).toThrow(
      'the test waits for register 0, which nobody will change',
    );
  });
});
