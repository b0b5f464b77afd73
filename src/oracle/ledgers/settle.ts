/**
 * Ghost pins when actors change workers. A worker's ledger says where its actors' pins are only as long as they release on it
 * what they took on it. So at the drain of a move all counts go to a ledger that belongs to no worker, and begin at zero:
 * sums stay what they are; what is forgotten is at which user page each pin of before was taken.
 */
import type { Machine } from '../../machine/layout.js';
import { FRAME_PIN_PAGE, FRAME_PINS, Ledger } from './ledger.js';

/** Words of a frame in a ledger. */
const FRAME_WORDS = 2;

/**
 * Moves the pins of `buffers` to `settled`.
 * @param settled a ledger of {@link Ledger}'s size that no worker writes; audits take it as one more
 */
export function settlePins(m: Machine, buffers: readonly ArrayBufferLike[], settled: ArrayBufferLike): void {
  const sum = new Ledger(m, settled).words;
  for (const buffer of buffers) {
    const { words, pinnedAt, userPages } = new Ledger(m, buffer);
    for (let pfn = 0; pfn < m.frames; pfn++) {
      const at = pfn * FRAME_WORDS;
      sum[at + FRAME_PINS] = (sum[at + FRAME_PINS] as number) + (words[at + FRAME_PINS] as number);
      words[at + FRAME_PINS] = 0;
      words[at + FRAME_PIN_PAGE] = 0;
    }
    words.fill(0, pinnedAt, pinnedAt + userPages);
  }
}
