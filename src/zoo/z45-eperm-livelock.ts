/**
 * Z45: a vCPU faults for ever on a page that EL2 will not give.
 *
 *     VMM:  shares page P with EL2 (or FF-A, or another guest)      vCPU: -
 *     -                                                             faults on P: pins it, __pkvm_host_map_guest: -EPERM
 *     -                                                             "another vCPU has mapped it": undoes all, returns to the guest
 *     -                                                             faults on P: ...
 *
 * -EPERM stands for two things: the guest has a page there already, which the next access will find, and the host's page is not
 * the host's to give, which nobody will change. Nothing is replaced: policy (c) is like that as it was posted. The upstream
 * fault handler leaves to user space with the error, so the litmus test is clean there.
 */
import type { Bug } from './bug.js';
import { locks, looksAt } from './bug-clash.js';

export const z45: Bug = {
  id: 'Z45',
  title: 'a vCPU takes every -EPERM of EL2 for a lost race, and faults for ever',
  commit: 'pkvm_mem_abort() as posted in May 2022 and in Android 14; in v7.2 KVM_RUN returns -EPERM',
  fixedIn: '',
  story:
    "EL2 answers -EPERM both when the guest's page is mapped already and when the host's page is not the host's own. The host takes it " +
    'for the first and lets the guest try again. If the page is shared with somebody, every try ends the same way.',
  policy: 'pkvm-2022',
  replace: {},
  cleanOn: 'pkvm-np-upstream',
  expect: ['I-LIVE'],
  litmus: 'z45-eperm-livelock.litmus',
  clash: {
    steps: [locks(['EL2 host_mmu.lock', 'hyp_vm.lock'], 'hostMapGuest'), looksAt('stage-2 root entry', 'guestAccess')],
    alone: true,
    follows: 'story',
  },
};
