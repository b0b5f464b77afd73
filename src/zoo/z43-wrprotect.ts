/**
 * Z43-wrprotect: a sibling of Z43, and Z43-logging at EL2: a hypercall makes an entry read-only and returns too soon.
 *
 *     vCPU: gfn -> P, writable, in its TLB      host: __pkvm_host_wrprotect_guest(gfn): read-only; no TLBI
 *     vCPU: writes P through its TLB            host: takes the page for clean
 */
import type { Context, Coroutine } from '../machine/context.js';
import { checkHostSharedGuest, setWritable } from '../hyp/share-guest.js';
import { lockGuest, lockHost, unlockGuest, unlockHost } from '../hyp/locks.js';
import type { Bug } from './bug.js';
import { changes, looksAt } from './bug-clash.js';

/** __pkvm_host_wrprotect_guest() without the invalidation. */
function* wrprotectUnflushed(ctx: Context, vm: number, gfn: number): Coroutine {
  yield* lockHost(ctx);
  yield* lockGuest(ctx, vm);
  const result = checkHostSharedGuest(ctx, vm, gfn);
  if (result === 0) yield* setWritable(ctx, vm, gfn, false);
  yield* unlockGuest(ctx, vm);
  yield* unlockHost(ctx);
  return result;
}

export const z43Wrprotect: Bug = {
  id: 'Z43-wrprotect',
  title: 'EL2 write-protects a page for the host and leaves it writable in the TLBs',
  commit: '',
  fixedIn: '',
  story:
    'Where EL2 owns the table the host asks it to write-protect each page that dirty logging is to watch. The call must not return while a CPU can ' +
    'still write through an old entry: what is written there is in no bitmap.',
  policy: 'pkvm-np-upstream',
  replace: { hostWrprotectGuest: wrprotectUnflushed },
  expect: ['I-TLB'],
  litmus: 'z43-wrprotect.litmus',
  clash: {
    steps: [looksAt('entry of stage-2 table', 'guestAccess'), changes('entry of stage-2 table', 'wrprotectUnflushed')],
    follows: 'story',
  },
};
