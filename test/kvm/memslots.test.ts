/** Memslots and a VM's beginning and end (src/kvm/vm.ts, memslots.ts). */
import { describe, expect, it } from 'vitest';
import { EEXIST, EFAULT, EINVAL, EPERM, MMU_NOTIFY_CLEAR, VM_STATE_DEAD } from '#src/machine/abi.js';
import { MECH } from '#src/machine/mechanisms.js';
import { Probe } from '#src/machine/context.js';
import { acquiresRead } from '#src/machine/effects.js';
import { entryPfn } from '#src/machine/entries.js';
import {
  MM_SUBSCRIPTIONS,
  S2_POOL_HEAD,
  TABLE_POOL_NEXT,
  VM_HAS_PGT,
  VM_INVALIDATE_IN_PROGRESS,
  VM_MEMSLOTS,
  VM_MN_ACTIVE_INVALIDATE_COUNT,
  VM_S2_DEFERRED,
  VM_STATE,
  globalWord,
  mmWord,
  s2TableWord,
  vmWord,
} from '#src/machine/layout.js';
import { MC_STAGE2_UNMAPS, MECHANISM_COUNTERS, STATS_MECHANISMS_AT } from '#src/machine/stats.js';
import { vpnOfGfn } from '#src/kvm/memslots.js';
import { KVM_SUBSCRIBER } from '#src/kvm/notifier.js';
import { vcpuAccess } from '#src/kvm/vcpu.js';
import { kvmCreateVm, kvmDestroyVm, kvmSetMemslot } from '#src/kvm/vm.js';
import { exitMmap } from '#src/mm/exit.js';
import { audit } from '../helpers/audit.js';
import { runToEnd } from '../helpers/drive.js';
import { Task } from '../helpers/interleave.js';
import { Guest } from './guest.js';

const setSlot = (guest: Guest, id: number, base: number, pages: number, vpn: number, flags = 0): number =>
  runToEnd(kvmSetMemslot(guest.ctx(0), 0, id, base, pages, vpn, flags), guest.ctx(0));

describe('kvmSetMemslot', () => {
  it('refuses what lies outside the machine, overlaps, or changes a size', () => {
    const guest = new Guest();
    expect(setSlot(guest, 0, 0, 0, 0)).toBe(0);
    expect(setSlot(guest, 0, 0, 0, 0)).toBe(-EINVAL);
    expect(setSlot(guest, 0, 8, 9, 0)).toBe(-EINVAL);
    expect(setSlot(guest, 0, 0, 4, 13)).toBe(-EINVAL);
    expect(setSlot(guest, 0, 0, 4, 0)).toBe(0);
    expect(setSlot(guest, 1, 3, 4, 4)).toBe(-EEXIST);
    expect(setSlot(guest, 1, 4, 4, 4)).toBe(0);
    expect(setSlot(guest, 1, 4, 5, 4)).toBe(-EINVAL);
    expect(setSlot(guest, 2, 8, 4, 8)).toBe(0);
    expect(setSlot(guest, 3, 12, 4, 12)).toBe(-EINVAL);
    expect([0, 5, 11, 12].map((gfn) => vpnOfGfn(guest.m, 0, gfn))).toEqual([0, 5, 11, -1]);
  });

  it('takes a deleted slot out of stage 2, by a mechanism of its own, and lets no fault back in', () => {
    const guest = new Guest();
    guest.store(3, 1);
    expect(setSlot(guest, 0, 0, 0, 0)).toBe(0);
    expect(guest.leaf(3)).toBe(0);
    expect(guest.access(3, false)).toBe(-EFAULT);
    const at = guest.ctx(0).statsAt + STATS_MECHANISMS_AT + MECH.memslot * MECHANISM_COUNTERS + MC_STAGE2_UNMAPS;
    expect(guest.word(at)).toBe(1);
  });

  it('moves a slot: the same guest page is another page of the VMM afterwards', () => {
    const guest = new Guest();
    expect(setSlot(guest, 0, 0, 0, 0)).toBe(0);
    expect(setSlot(guest, 0, 0, 8, 0)).toBe(0);
    guest.store(1, 11);
    guest.touch(9, true, 99);
    expect(setSlot(guest, 0, 0, 8, 8)).toBe(0);
    expect(guest.load(1)).toBe(99);
    expect(vpnOfGfn(guest.m, 0, 1)).toBe(9);
  });

  it('waits under slots_lock until no invalidation is between its start and its end (LK4)', () => {
    const guest = new Guest();
    const other = guest.ctx(1);
    runToEnd(KVM_SUBSCRIBER.invalidateRangeStart(other, 0, 0, 4, MMU_NOTIFY_CLEAR, true), other);
    const task = new Task(guest.ctx(0), kvmSetMemslot(guest.ctx(0), 0, 0, 0, 0, 0, 0));
    while (task.enabled && !task.done) task.step();
    expect(task.done).toBe(false);
    expect(guest.vm(VM_MEMSLOTS)).toBe(1);
    runToEnd(KVM_SUBSCRIBER.invalidateRangeEnd(other, 0, 0, 4), other);
    expect(task.finish()).toBe(0);
    expect([guest.vm(VM_MN_ACTIVE_INVALIDATE_COUNT), guest.vm(VM_INVALIDATE_IN_PROGRESS)]).toEqual([0, 0]);
  });

  it('without that wait, an end finds no slot and in_progress never comes back to 0 (Z26)', () => {
    const guest = new Guest({
      replace: {
        *kvmSwapActiveMemslots(ctx, vm) {
          const at = vmWord(ctx.m, vm, VM_MEMSLOTS);
          ctx.words[at] = (ctx.words[at] as number) ^ 1;
        },
      },
    });
    const other = guest.ctx(1);
    runToEnd(KVM_SUBSCRIBER.invalidateRangeStart(other, 0, 0, 4, MMU_NOTIFY_CLEAR, true), other);
    expect(setSlot(guest, 0, 0, 0, 0)).toBe(0);
    runToEnd(KVM_SUBSCRIBER.invalidateRangeEnd(other, 0, 0, 4), other);
    expect([guest.vm(VM_MN_ACTIVE_INVALIDATE_COUNT), guest.vm(VM_INVALIDATE_IN_PROGRESS)]).toEqual([0, 1]);
  });

  it('waits for faults that still use the old slots', () => {
    const guest = new Guest();
    const fault = new Task(guest.ctx(1), vcpuAccess(guest.ctx(1), 0, 1, 3, true, 7));
    const lock = vmWord(guest.m, 0, 0);
    fault.stepUntil((effect) => effect === acquiresRead(lock));
    const task = new Task(guest.ctx(0), kvmSetMemslot(guest.ctx(0), 0, 0, 0, 0, 0, 0));
    while (task.enabled && !task.done) task.step();
    expect(task.done).toBe(false);
    // it maps through the old slot; the flush that follows synchronize_srcu takes that away
    while (fault.enabled && !fault.done && !(task.enabled && guest.leaf(3) === 0)) fault.step();
    while (!task.done) task.step();
    expect(task.result).toBe(0);
    expect(guest.leaf(3)).toBe(0);
    fault.finish();
  });

  it('is refused for a protected VM once it has a handle', () => {
    const guest = new Guest({ policy: 'pkvm-2022' });
    expect(setSlot(guest, 0, 0, 0, 0)).toBe(-EPERM);
    expect(setSlot(guest, 0, 0, 16, 0, 1)).toBe(0);
  });
});

describe('a VM', () => {
  it('subscribes once, and cannot be created twice', () => {
    const guest = new Guest();
    expect(guest.word(mmWord(guest.m, 0, MM_SUBSCRIPTIONS))).toBe(1);
    expect(runToEnd(kvmCreateVm(guest.ctx(0), 0, 0, false), guest.ctx(0))).toBe(-EEXIST);
  });

  it('leaves nothing behind: tables, subscription, references; and can be created again', () => {
    const guest = new Guest();
    const free = guest.freeTables;
    for (let gfn = 0; gfn < 16; gfn += 3) guest.store(gfn, gfn, gfn & 1);
    const pfn = entryPfn(guest.leaf(3));
    const ctx = guest.ctx(2);
    runToEnd(kvmDestroyVm(ctx, 0), ctx);
    expect(guest.vm(VM_STATE)).toBe(VM_STATE_DEAD);
    expect(guest.freeTables).toBe(free);
    expect(guest.word(mmWord(guest.m, 0, MM_SUBSCRIPTIONS))).toBe(0);
    expect(guest.refs(pfn)).toBe(1);
    expect(guest.stale()).toEqual([]);
    expect(runToEnd(kvmCreateVm(ctx, 0, 0, false), ctx)).toBe(0);
    expect(setSlot(guest, 0, 0, 16, 0)).toBe(0);
    expect(guest.load(3)).toBe(3);
    expect(audit(guest.m)).toEqual([]);
  });

  it('that ends between a start and its end forgets the count', () => {
    const warned: string[] = [];
    class Warned extends Probe {
      override onWarn(_ctx: unknown, invariant: string, what: string): void {
        warned.push(`${invariant}: ${what}`);
      }
    }
    const guest = new Guest({ probe: new Warned() });
    const ctx = guest.ctx(1);
    runToEnd(KVM_SUBSCRIBER.invalidateRangeStart(ctx, 0, 0, 4, MMU_NOTIFY_CLEAR, true), ctx);
    runToEnd(kvmDestroyVm(ctx, 0), ctx);
    expect([guest.vm(VM_MN_ACTIVE_INVALIDATE_COUNT), guest.vm(VM_INVALIDATE_IN_PROGRESS)]).toEqual([0, 0]);
    expect(warned).toEqual([]);
  });

  it('loses its table with its process; faults that come later exit', () => {
    const guest = new Guest();
    guest.store(3, 3);
    const ctx = guest.ctx(2);
    runToEnd(exitMmap(ctx, 0), ctx);
    expect(guest.vm(VM_HAS_PGT)).toBe(0);
    expect(guest.leaf(3)).toBe(0);
    expect(guest.access(3, false)).toBe(-EFAULT);
    runToEnd(kvmDestroyVm(ctx, 0), ctx);
    expect(audit(guest.m)).toEqual([]);
  });

  it('frees tables that wait for their grace period when the pool is empty', () => {
    const guest = new Guest();
    guest.store(0, 1);
    const { m } = guest;
    // all tables of the pool but those of the deferred list are taken
    const pool: number[] = [];
    const head = globalWord(m, S2_POOL_HEAD);
    for (let table = guest.word(head); table !== 0; table = guest.word(s2TableWord(m, table - 1, TABLE_POOL_NEXT)))
      pool.push(table);
    const kept = pool[0] as number;
    m.words[head] = 0;
    m.words[s2TableWord(m, kept - 1, TABLE_POOL_NEXT)] = 0;
    m.words[vmWord(m, 0, VM_S2_DEFERRED)] = kept;
    guest.store(4, 1);
    expect(guest.word(vmWord(m, 0, VM_S2_DEFERRED))).toBe(0);
    expect(guest.leaf(4)).not.toBe(0);
  });
});
