/**
 * Z25: KVM drops references that it never took, of pages whose count is not meant for it.
 *
 *     driver: alloc_pages(order 1); the second page's count is 0; remap_pfn_range()
 *     vCPU:   follows the PFNMAP entry to the second page; get_page: 0 -> 1
 *     vCPU:   maps it; put_page: 1 -> 0: freed
 *     anybody: gets the page; driver, VMM and guest use it too
 *
 * A reference may be taken only where somebody holds one (folio_try_get). GUP knows that a VM_PFNMAP mapping has no pages
 * to hand out; KVM followed the entry by itself. No race is needed.
 */
import type { Context, Coroutine } from '../machine/context.js';
import { REF_TEMP } from '../machine/context.js';
import { updates } from '../machine/effects.js';
import { hvaToPfnRemapped } from '../kvm/faultin.js';
import { folioOf, refAdd, refsWord } from '../mm/folio.js';
import type { Bug } from './bug.js';
import { changes, looksAt } from './bug-clash.js';

/** hva_to_pfn_remapped() with kvm_get_pfn(): "get a reference here because callers will drop it". */
function* getAnyPage(ctx: Context, mm: number, vpn: number, write: boolean): Coroutine {
  const pfn = yield* hvaToPfnRemapped(ctx, mm, vpn, write);
  if (pfn < 0) return pfn;
  const head = folioOf(ctx, pfn);
  if (--ctx.quantum < 0) yield updates(refsWord(ctx, head));
  refAdd(ctx, head, 1, REF_TEMP);
  ctx.out.refcounted = true;
  return pfn;
}

export const z25: Bug = {
  id: 'Z25',
  title: "KVM frees a driver's page whose reference count is not its own",
  commit: 'f8be156be163 ("KVM: do not allow mapping valid but non-reference-counted pages")',
  fixedIn: 'v5.13',
  story:
    'CVE-2021-22543. hva_to_pfn_remapped() followed the PTEs of VM_PFNMAP mappings and took a reference of whatever page was there. ' +
    'Tail pages of a higher-order allocation have a count of 0: it went to 1 and, with the put after the fault, back to 0, which ' +
    'frees a page that the driver, the VMM and the guest go on using.',
  policy: 'classic',
  replace: { hvaToPfnRemapped: getAnyPage },
  expect: ['I-REF', 'I-FREE'],
  litmus: 'z25-no-refcount.litmus',
  clash: {
    steps: [looksAt('PTE', 'deviceToPfn'), changes('refs', 'deviceToPfn')],
    alone: true,
    follows: 'f8be156be163',
  },
};
