/** EL2's front door and the end of a VM there (src/hyp/hypercalls.ts, vm.ts, teardown.ts). */
import { describe, expect, it } from 'vitest';
import { EBUSY, EEXIST, EINVAL, ENOENT, ENOMEM, EPERM } from '#src/machine/abi.js';
import { type Context } from '#src/machine/context.js';
import {
  PAGE_CONTENT,
  VM_HYP_META,
  VM_HYP_STATE,
  VM_HYP_TEARDOWN_COUNT,
  VM_HYP_TEARDOWN_HEAD,
  pageWord,
  vmWord,
} from '#src/machine/layout.js';
import {
  HYP_FINALIZE_TEARDOWN,
  HYP_INIT_VM,
  HYP_MAP_GUEST,
  HYP_RECLAIM_PAGE,
  HYP_START_TEARDOWN,
  HYP_VCPU_LOAD,
  HYP_VCPU_PUT,
  handleHostHcall,
} from '#src/hyp/hypercalls.js';
import { hostDonateHyp } from '#src/hyp/mem-protect.js';
import { HANDLE_OFFSET, HYP_VM_NONE } from '#src/hyp/vm.js';
import { guestLeaf } from '#src/hyp/stage2.js';
import { runToEnd } from '../helpers/drive.js';
import { illOwned } from './ownership.js';
import { el2, fillHostMemcache, hostS2 } from './el2-machine.js';

const hcall = (ctx: Context, fn: number, a: number, b = 0, c = 0, loaded = -1, cpu = 0): number =>
  runToEnd(handleHostHcall(ctx, cpu, loaded, fn, a, b, c, 0), ctx);

describe('hypercalls', () => {
  it('believe no handle, no vCPU, no number', () => {
    const { ctx } = el2();
    expect(hcall(ctx, HYP_VCPU_LOAD, 7, 0)).toBe(-ENOENT);
    expect(hcall(ctx, HYP_VCPU_LOAD, HANDLE_OFFSET + 2, 0)).toBe(-ENOENT);
    expect(hcall(ctx, HYP_VCPU_LOAD, HANDLE_OFFSET, 8)).toBe(-EINVAL);
    expect(hcall(ctx, 99, HANDLE_OFFSET)).toBe(-EINVAL);
    expect(hcall(ctx, HYP_INIT_VM, HANDLE_OFFSET, 40)).toBe(-EEXIST);
    expect(hostS2(ctx, 40)).toBe(0);
    // mapping needs a vCPU that this very CPU has loaded
    expect(hcall(ctx, HYP_MAP_GUEST, 40, 3)).toBe(-EINVAL);
    expect(hcall(ctx, HYP_VCPU_LOAD, HANDLE_OFFSET, 1)).toBe(0);
    expect(hcall(ctx, HYP_VCPU_LOAD, HANDLE_OFFSET, 1, 0, -1, 2)).toBe(-EBUSY);
    expect(hcall(ctx, HYP_MAP_GUEST, 40, 3, 0, 1, 2)).toBe(-EINVAL);
    expect(hcall(ctx, HYP_VCPU_PUT, HANDLE_OFFSET, 1, 0, -1, 2)).toBe(-EINVAL);
    fillHostMemcache(ctx, 0, [50]);
    // the memcache is that of the vCPU
    expect(hcall(ctx, HYP_MAP_GUEST, 40, 3, 0, 1)).toBe(-ENOMEM);
    expect(hcall(ctx, HYP_VCPU_LOAD, HANDLE_OFFSET, 0)).toBe(0);
    expect(hcall(ctx, HYP_MAP_GUEST, 40, 3, 0, 0)).toBe(0);
  });

  it('tear a VM down in order: not while a vCPU is loaded, not twice, not a page before it dies', () => {
    const { ctx } = el2();
    const handle = HANDLE_OFFSET + 1;
    fillHostMemcache(ctx, 1, [50]);
    expect(hcall(ctx, HYP_VCPU_LOAD, handle, 0)).toBe(0);
    expect(hcall(ctx, HYP_MAP_GUEST, 40, 3, 0, 1 << 8)).toBe(0);
    expect(hcall(ctx, HYP_START_TEARDOWN, handle)).toBe(-EBUSY);
    expect(hcall(ctx, HYP_RECLAIM_PAGE, handle, 40, 3)).toBe(-EINVAL);
    expect(hcall(ctx, HYP_FINALIZE_TEARDOWN, handle)).toBe(-EINVAL);
    expect(hcall(ctx, HYP_VCPU_PUT, handle, 0)).toBe(0);
    expect(hcall(ctx, HYP_START_TEARDOWN, handle)).toBe(0);
    expect(hcall(ctx, HYP_START_TEARDOWN, handle)).toBe(-EINVAL);
    expect(hcall(ctx, HYP_VCPU_LOAD, handle, 0)).toBe(-EINVAL);
    expect(hcall(ctx, HYP_RECLAIM_PAGE, handle, 40, 2)).toBe(-EINVAL);
    expect(hcall(ctx, HYP_RECLAIM_PAGE, handle, 41, 3)).toBe(-EPERM);
    ctx.words[pageWord(ctx.m, 40, PAGE_CONTENT)] = 77;
    expect(hcall(ctx, HYP_RECLAIM_PAGE, handle, 40, 3)).toBe(0);
    expect(ctx.words[pageWord(ctx.m, 40, PAGE_CONTENT)]).toBe(0);
    expect(hcall(ctx, HYP_RECLAIM_PAGE, handle, 40, 3)).toBe(-EINVAL);
    expect(runToEnd(hostDonateHyp(ctx, 55, 1), ctx)).toBe(0);
    ctx.words[vmWord(ctx.m, 1, VM_HYP_META)] = 55;
    expect(hcall(ctx, HYP_FINALIZE_TEARDOWN, handle)).toBe(0);
    expect(ctx.words[vmWord(ctx.m, 1, VM_HYP_STATE)]).toBe(HYP_VM_NONE);
    // the page of EL2's records and the one of its table
    expect(ctx.words[vmWord(ctx.m, 1, VM_HYP_TEARDOWN_COUNT)]).toBe(2);
    expect(ctx.words[vmWord(ctx.m, 1, VM_HYP_TEARDOWN_HEAD)]).toBe(55);
    expect(ctx.words[pageWord(ctx.m, 55, PAGE_CONTENT)]).toBe(50);
    expect(hcall(ctx, HYP_VCPU_LOAD, handle, 0)).toBe(-ENOENT);
    expect(illOwned(ctx)).toEqual([]);
    expect(guestLeaf(ctx, 1, 3)).toBe(0);
  });
});
