/**
 * Z35-share: a sibling of Z35: the same with a page that the host lends.
 *
 *     host: __pkvm_host_share_guest(P); the vCPU's memcache could not be filled, and the host has gone on
 *     EL2:  P is shared with a guest (count 1)
 *     EL2:  guest table: no page left: -ENOMEM
 *     P is lent to a guest that does not have it, and can never be taken back
 *
 * The host tops the memcache up before it asks, so that it comes to this only if it forgets to, or if the refill takes no page.
 */
import type { Context, Coroutine } from '../machine/context.js';
import type { Bug } from './bug.js';
import { changes, locks } from './bug-clash.js';
import { onlyNoPage } from './z35-no-table.js';

// eslint-disable-next-line require-yield
function* noRefill(_ctx: Context, _vm: number, _vcpu: number): Coroutine {
  return 0;
}

export const z35Share: Bug = {
  id: 'Z35-share',
  title: 'EL2 counts a page as shared before it finds that it cannot map it',
  commit: '',
  fixedIn: '',
  story:
    'Sharing a page has the same two halves as donating it. If nobody asks for table pages first, a share that fails leaves the page ' +
    'counted as lent to a guest that does not map it: no unshare will ever find it.',
  policy: 'pkvm-np-upstream',
  replace: { checkGuestTakes: onlyNoPage, pkvmRefillMemcache: noRefill },
  expect: ['I-OWN', 'I-SHARECNT'],
  litmus: 'z35-share.litmus',
  clash: {
    steps: [changes('host stage-2 entry', 'hostShareGuest'), locks('EL2 hyp_pool lock', 'zallocTablePage')],
    or: [
      locks(['EL2 host_mmu.lock', 'hyp_vm.lock'], 'hostShareGuest'),
      changes('host stage-2 entry', 'hostShareGuest'),
    ],
    alone: true,
    follows: 'story',
  },
};
