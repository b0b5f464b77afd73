/**
 * I-DMA: a device touches only frames whose reference is held. A driver that gives its pin (or the reference of vmsplice and old direct
 * I/O) back while the device is still at work lets it write into whatever the frame has become. Judged before the access, so that a
 * release which comes after it is no fault: by the pin itself where a litmus test names it, and by the frame, which has to be held by somebody.
 */
import { touches } from '../../../machine/words/extra-accesses.js';
import type { Context } from '../../../machine/context.js';
import { reads } from '../../../machine/effects.js';
import { HDR_GIVEN_BACK, HDR_REGISTERS } from '../../../machine/layout.js';
import { look as peek } from '#words';
import type { ViolationLog } from '../../violation.js';

const ID = 'I-DMA';

/**
 * A device is about to access `pfn`.
 * @param register of a litmus test that holds the reference, or -1
 * @param holders pins and references that are known of the frame; -1: not known
 */
export function deviceAccesses(ctx: Context, log: ViolationLog, pfn: number, register: number, holders: number): void {
  if (register >= 0) {
    // the order of the release and of the access counts, though they share no word
    touches(reads(HDR_REGISTERS + register));
    if (peek(ctx.words, HDR_GIVEN_BACK + register) !== 0) {
      log.report(ctx, ID, 'device uses what was released', { pfn });
      return;
    }
  }
  if (holders === 0) log.report(ctx, ID, 'device uses frame nobody holds', { pfn });
}
