/**
 * Z46: the host kernel touches a page that it has given away.
 *
 *     guest: faults on gfn 0: page P is pinned and donated      cpu1: reads /proc/PID/mem: looks P up, takes a reference
 *     -                                                         copies from P through the kernel's map of all memory
 *     EL2: P is a guest's: injects an abort into the kernel     no entry in the exception table: oops
 *
 * P is still in the VMM's page table, so everything that follows page tables and looks at contents finds it: /proc/PID/mem, a
 * core dump, direct IO, KSM, fork. A process that touches the page itself is only killed.
 */
import { EFAULT } from '../machine/abi.js';
import type { Context } from '../machine/context.js';
import type { Bug } from './bug.js';
import { changes, looksAt } from './bug-clash.js';

/** die(): nothing covers the access. */
function oops(ctx: Context, pfn: number): number {
  ctx.probe.onWarn(ctx, 'I-OWN', "host kernel touches another's page", pfn);
  return -EFAULT;
}

export const z46: Bug = {
  id: 'Z46',
  title: "the host kernel reads a protected guest's page, and dies of it",
  commit: 'Android 14; after v7.1 a read by the kernel has EL2 take the page back, wiped, and the guest ends',
  fixedIn: '',
  story:
    "A donated page stays in the VMM's page table. When the kernel reads it for somebody, through its own mapping, EL2 has to refuse, and can only " +
    'inject an abort. Where the access is not covered by an exception table, the host oopses; covered, the read fails with -EFAULT.',
  policy: 'pkvm-2022',
  replace: { pkvmKernelAbort: oops },
  expect: ['I-OWN'],
  litmus: 'z46-host-touch.litmus',
  clash: {
    steps: [looksAt('host stage-2 entry', 'pkvmKernelRead'), changes('host stage-2 entry', 'hostDonateGuest')],
    or: [looksAt('PTE', 'accessRemoteVm'), changes('host stage-2 entry', 'hostDonateGuest')],
    follows: 'story',
  },
};
