/** Waits of litmus files: what a test program does that polls, so that a file need not go through all that happens before. */
import type { Context, Coroutine } from '../../src/machine/context.js';
import { RETRY, reads } from '../../src/machine/effects.js';
import { entryPfn, isHuge, isPresent, isTable } from '../../src/machine/entries.js';
import { pmdWord, pteWord } from '../../src/machine/layout.js';
import { scratchWord } from '../../src/machine/store-buffer.js';
import { waitWhile } from '../../src/machine/wait.js';
import { readOnce } from '#words';
import type { LitmusOperation } from './row.js';
import type { LitmusTask } from '../../src/plan/litmus.js';

/** Polls /proc/PID/pagemap until no page is mapped at (mm, vpn): swapped out, zapped, or a migration entry. */
function* awaitUnmapped(ctx: Context, _task: LitmusTask, args: readonly number[]): Coroutine {
  const [mm = 0, vpn = 0] = args;
  const { m, words } = ctx;
  const pmdAt = pmdWord(m, mm, vpn);
  ctx.task.loops++;
  for (;;) {
    if (--ctx.quantum < 0) yield reads(pmdAt);
    let entry = readOnce(words, pmdAt);
    if (isTable(entry)) {
      const pteAt = pteWord(m, entryPfn(entry), vpn);
      if (--ctx.quantum < 0) yield reads(pteAt);
      entry = readOnce(words, pteAt);
    } else if (!isHuge(entry)) {
      return 0;
    }
    if (!isPresent(entry)) return 0;
    if (--ctx.quantum < 0) yield RETRY;
  }
}

/** An acquire load of a scratch word, over and over, until it holds the value. */
function* awaitWord(ctx: Context, _task: LitmusTask, args: readonly number[]): Coroutine {
  const [n = 0, value = 0] = args;
  const at = scratchWord(n);
  for (;;) {
    if (--ctx.quantum < 0) yield reads(at);
    const seen = readOnce(ctx.words, at);
    if (seen === value) return 0;
    yield waitWhile(ctx, at, seen);
  }
}

export const LITMUS_WAITS: readonly LitmusOperation[] = [
  {
    name: 'await',
    params: ['scratch', 'value'],
    by: 'any',
    result: 'errno',
    summary: 'waits until a scratch word holds the value',
    run: awaitWord,
  },
  {
    name: 'await_unmapped',
    params: ['page'],
    by: 'any',
    result: 'errno',
    summary: 'polls /proc/PID/pagemap until nothing is mapped there',
    run: awaitUnmapped,
  },
];
