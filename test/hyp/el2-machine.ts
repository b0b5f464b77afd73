/** A machine with EL2 alone: two live protected VMs, and a host that is only numbers. */
import { type Context, Probe } from '#src/machine/context.js';
import {
  PAGE_CONTENT,
  PAGE_HOST_S2,
  VCPU_HOST_MC_COUNT,
  VCPU_HOST_MC_HEAD,
  VM_HYP_STATE,
  VM_HYP_TABLES,
  VM_PROTECTED,
  pageWord,
  s2TableWord,
  TABLE_POOL_NEXT,
  vcpuWord,
  vmWord,
} from '#src/machine/layout.js';
import { resolveKernel } from '#src/engine/machine/kernel.js';
import { HYP_VM_LIVE } from '#src/hyp/vm.js';
import { makeContext, makeMachine, runToEnd } from '../helpers/drive.js';

/** What kernel code warned of, and where pages went. */
export class Recorder extends Probe {
  readonly warned: string[] = [];
  readonly moves: string[] = [];
  override onWarn(_ctx: unknown, invariant: string, what: string): void {
    this.warned.push(`${invariant}: ${what}`);
  }
  override onMemcache(_ctx: unknown, pfn: number, from: number, to: number): void {
    this.moves.push(`${pfn}: ${from} -> ${to}`);
  }
}

/** EL2 with two live VMs and no host around it: pages are numbers, page 40 and up are handed in by hand. */
export function el2(vms = 2): { ctx: Context; run: <T>(coroutine: Generator<number, T, void>) => T; probe: Recorder } {
  const m = makeMachine({ vms });
  const probe = new Recorder();
  const kernel = resolveKernel('pkvm-2022');
  const ctx = makeContext(m, 0, kernel, probe);
  ctx.cpu.atEl2 = true;
  for (let vm = 0; vm < vms; vm++) {
    m.words[vmWord(m, vm, VM_HYP_STATE)] = HYP_VM_LIVE;
    m.words[vmWord(m, vm, VM_PROTECTED)] = 1;
    // a chain of table records, as the host gives them at creation
    for (let i = 0; i < m.vmBlocks; i++) {
      const record = vm * m.vmBlocks + i;
      m.words[s2TableWord(m, record, TABLE_POOL_NEXT)] = m.words[vmWord(m, vm, VM_HYP_TABLES)] as number;
      m.words[vmWord(m, vm, VM_HYP_TABLES)] = record + 1;
    }
  }
  return { ctx, run: (coroutine) => runToEnd(coroutine, ctx), probe };
}

/** Puts pages into the host's memcache of vCPU 0, the last one on top. */
export function fillHostMemcache(ctx: Context, vm: number, pfns: readonly number[]): void {
  const { m, words } = ctx;
  const head = vcpuWord(m, vm, 0, VCPU_HOST_MC_HEAD);
  for (const pfn of pfns) {
    words[pageWord(m, pfn, PAGE_CONTENT)] = words[head] as number;
    words[head] = pfn;
    words[vcpuWord(m, vm, 0, VCPU_HOST_MC_COUNT)] = (words[vcpuWord(m, vm, 0, VCPU_HOST_MC_COUNT)] as number) + 1;
  }
}

export const refill = (ctx: Context, vm: number): number => runToEnd(ctx.kernel.pkvmRefillMemcache(ctx, vm, 0), ctx);
export const hostS2 = (ctx: Context, pfn: number): number => ctx.words[pageWord(ctx.m, pfn, PAGE_HOST_S2)] as number;
