/**
 * Z36: EL2 reads the head of the host's memcache twice.
 *
 *     EL2: head is P: the host's, donated to EL2       host: -
 *     -                                                head := Q, a page that is not the host's to give
 *     EL2: takes what head says: Q                     -
 *     Q is a table of the guest's
 *
 * The list is memory that the host may write at any time. EL2 must copy its head once, make that page its own, and only then
 * believe what stands in it. The bug was x86's; arm64 has the snapshot, which is what is left out here.
 */
import { ENOMEM, EPERM } from '../machine/abi.js';
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

/** pkvm_refill_memcache() on the host's own list. */
function* refillInPlace(ctx: Context, vm: number, vcpu: number): Coroutine {
  const { m, words } = ctx;
  const head = vcpuWord(m, vm, vcpu, VCPU_HOST_MC_HEAD);
  const count = vcpuWord(m, vm, vcpu, VCPU_HOST_MC_COUNT);
  if (--ctx.quantum < 0) yield reads(count);
  const wanted = readOnce(words, count);
  for (let pages = wanted; get(words, vcpuWord(m, vm, vcpu, VCPU_HYP_MC_COUNT)) < wanted; pages--) {
    if (pages === 0) return -ENOMEM;
    if (--ctx.quantum < 0) yield reads(head);
    if ((yield* ctx.kernel.hostDonateHyp(ctx, readOnce(words, head), 1)) !== 0) return -EPERM;
    if (--ctx.quantum < 0) yield reads(head);
    const pfn = readOnce(words, head);
    const link = pageWord(m, pfn, PAGE_CONTENT);
    if (--ctx.quantum < 0) yield reads(link);
    const next = readOnce(words, link);
    yield* pushMemcache(ctx, vcpuWord(m, vm, vcpu, VCPU_HYP_MC_HEAD), pfn);
    moved(ctx, pfn, MC_PLACE_HOST_MC, MC_PLACE_HYP_MC);
    if (--ctx.quantum < 0) yield writes(head);
    writeOnce(words, head, next);
    if (--ctx.quantum < 0) yield writes(count);
    writeOnce(words, count, pages - 1);
  }
  return 0;
}

export const z36: Bug = {
  id: 'Z36',
  title: "EL2 checks one page of the host's memcache and takes another",
  commit: '4dc9c4dbfea5 (x86 pKVM); arm64 has the snapshot',
  fixedIn: '',
  story:
    "A hypercall moves pages from the host's memcache to EL2's. The list's head lies in memory that the host can write: if EL2 donates the " +
    'page that the head names, and then reads the head again to take it, the host may have put another there, which EL2 will build tables in.',
  policy: 'pkvm-np-upstream',
  replace: { pkvmRefillMemcache: refillInPlace },
  expect: ['I-HYPMC', 'I-OWN'],
  litmus: 'z36-read-twice.litmus',
  clash: {
    steps: [looksAt('memcache head', 'refillInPlace'), changes('memcache head', 'hostForgeMemcache')],
    follows: '4dc9c4dbfea5',
  },
};
