/**
 * kswapd (mm/vmscan.c): isolates pages of its node that are on the LRU, in the order of their frames, and reclaims those that
 * were not used since it came by last.
 *
 *   batch_pages    pages isolated at once (the kernel's SWAP_CLUSTER_MAX: 32)
 *   free_percent   it works while fewer frames of its node are free (default 100: always)
 *   sleep_us       microseconds between batches (default 1,000)
 *   ops            ends after so many batches; 0 = runs on (default 0)
 */
import { glance } from '../src/machine/words/extra-accesses.js';
import type { Context, Coroutine } from '../src/machine/context.js';
import { IDLE_SLEEP, IDLE_TOP } from '../src/machine/effects.js';
import { NODE_FREE_FRAMES, nodeWord } from '../src/machine/layout.js';
import { isolateLruFolios } from '../src/mm/vmscan.js';
import { type ActorParams, carried, carry, param } from './types.js';

/** kswapd's loop, for the node of its CPU. */
export function* kswapd(ctx: Context, params: ActorParams): Coroutine<void> {
  const { m } = ctx;
  const ops = param(params, 'ops', 0);
  const free = nodeWord(m, ctx.node, NODE_FREE_FRAMES);
  const watermark = (m.framesPerNode * param(params, 'free_percent', 100)) / 100;
  let cursor = carried(ctx, 'cursor');
  let done = carried(ctx, 'done');
  while (ops === 0 || done < ops) {
    if (ctx.finish) break;
    if (ctx.drain) {
      yield IDLE_TOP;
      continue;
    }
    if (glance(ctx.words, free) <= watermark) {
      const batch: number[] = [];
      cursor = yield* isolateLruFolios(ctx, cursor, param(params, 'batch_pages', 32), batch);
      yield* ctx.kernel.shrinkFolioList(ctx, batch, false);
    }
    ctx.probe.onProgress(ctx);
    done++;
    ctx.sleepMicros = param(params, 'sleep_us', 1_000);
    yield IDLE_SLEEP;
  }
  carry(ctx, { done, cursor });
}
