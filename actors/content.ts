/**
 * What writers put into pages. A page's content is one word:
 *
 *   0                              a page of zeroes
 *   1 .. 0x3fffffff                a content of the recorded guest: equal numbers are byte-equal pages
 *   0x40000000 | block             a block as disks and networks hold it, the same for whoever reads it
 *   0x80000000 | actor, counter    unique to one write, so that a lost or leaked write shows
 */
import { type Context, random } from '../src/machine/context.js';

const BLOCK = 0x40000000;
const UNIQUE = 0x80000000;

/** A content that no other write has: 7 bits of actor, 24 of its writes (they wrap after 16 million). */
export function writeToken(ctx: Context): number {
  ctx.task.writeCounter = (ctx.task.writeCounter + 1) & 0xffffff;
  return UNIQUE | ((ctx.actor & 127) << 24) | ctx.task.writeCounter;
}

/**
 * A write's content: with the chance of `duplicatePercent`, one of `kinds` blocks (block 0 is the page of zeroes), else
 * unique.
 */
export function someContent(ctx: Context, duplicatePercent: number, kinds: number): number {
  if (duplicatePercent === 0) return writeToken(ctx);
  const draw = random(ctx);
  if (draw % 100 >= duplicatePercent) return writeToken(ctx);
  const block = ((draw / 100) | 0) % kinds;
  return block === 0 ? 0 : BLOCK | block;
}
