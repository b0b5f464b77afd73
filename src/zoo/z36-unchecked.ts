/**
 * Z36-unchecked: a sibling of Z36: EL2 takes what the host offers without making it its own.
 *
 *     host: the head of its memcache names Q, which is no memory, or is somebody else's     EL2: -
 *     -                                                                                     donates Q to itself: -EPERM, unheard
 *     -                                                                                     Q is a table of the guest's
 */
import { ENOMEM } from '../machine/abi.js';
import type { Context, Coroutine } from '../machine/context.js';
import { reads, writes } from '../machine/effects.js';
import {
  PAGE_CONTENT,
  VCPU_HOST_MC_COUNT,
  VCPU_HOST_MC_HEAD,
  VCPU_HYP_MC_COUNT,
  VCPU_HYP_MC_HEAD,
  pageWord,
  vcpuWord,
} from '../machine/layout.js';
import { MC_PLACE_HOST_MC, MC_PLACE_HYP_MC, moved, pushMemcache } from '../hyp/memcache.js';
import { get, readOnce, writeOnce } from '#words';
import type { Bug } from './bug.js';
import { changes, looksAt } from './bug-clash.js';

/** pkvm_refill_memcache() deaf to what the donations say. */
function* refillUnchecked(ctx: Context, vm: number, vcpu: number): Coroutine {
  const { m, words } = ctx;
  const hostHead = vcpuWord(m, vm, vcpu, VCPU_HOST_MC_HEAD);
  const hostCount = vcpuWord(m, vm, vcpu, VCPU_HOST_MC_COUNT);
  if (--ctx.quantum < 0) yield reads(hostHead);
  let head = readOnce(words, hostHead);
  if (--ctx.quantum < 0) yield reads(hostCount);
  let pages = readOnce(words, hostCount);
  const wanted = pages;
  while (get(words, vcpuWord(m, vm, vcpu, VCPU_HYP_MC_COUNT)) < wanted && pages > 0) {
    yield* ctx.kernel.hostDonateHyp(ctx, head, 1);
    const link = pageWord(m, head, PAGE_CONTENT);
    if (--ctx.quantum < 0) yield reads(link);
    const next = readOnce(words, link);
    yield* pushMemcache(ctx, vcpuWord(m, vm, vcpu, VCPU_HYP_MC_HEAD), head);
    moved(ctx, head, MC_PLACE_HOST_MC, MC_PLACE_HYP_MC);
    head = next;
    pages--;
  }
  if (--ctx.quantum < 0) yield writes(hostHead);
  writeOnce(words, hostHead, head);
  if (--ctx.quantum < 0) yield writes(hostCount);
  writeOnce(words, hostCount, pages);
  return get(words, vcpuWord(m, vm, vcpu, VCPU_HYP_MC_COUNT)) < wanted ? -ENOMEM : 0;
}

export const z36Unchecked: Bug = {
  id: 'Z36-unchecked',
  title: 'EL2 puts a page on its own list whose donation was refused',
  commit: '',
  fixedIn: '',
  story:
    "Each page that EL2 takes from the host's memcache is donated first, and a donation can be refused: the page may not be the host's, or no " +
    'memory at all. If the answer is not looked at, EL2 builds tables in a page that others can write.',
  policy: 'pkvm-np-upstream',
  replace: { pkvmRefillMemcache: refillUnchecked },
  expect: ['I-HYPMC', 'I-OWN'],
  litmus: 'z36-unchecked.litmus',
  clash: {
    steps: [looksAt('memcache head', 'refillUnchecked'), changes('memcache head', 'hostForgeMemcache')],
    follows: 'story',
  },
};
