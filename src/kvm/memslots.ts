/**
 * Memslots (virt/kvm/kvm_main.c, v6.18): which guest pages stand for which pages of the VMM. Two sets exist; readers
 * take the active one's number once, under kvm->srcu, and its fields do not change until synchronize_srcu has
 * returned.
 */
import { EEXIST, EINVAL, KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY } from '../machine/abi.js';
import type { Context } from '../machine/context.js';
import { LINE, MEMSLOTS_MAX, type Machine, VM_MEMSLOTS, VM_MEMSLOT_SETS, vmWord } from '../machine/layout.js';
import { get, look, readOnce, set } from '#words';

/** KVM_MEMSLOT_INVALID: being moved or deleted; no fault may map through it, notifiers still count by it. */
export const KVM_MEMSLOT_INVALID = 1 << 8;
const SLOT_WORDS = 4;
const SLOT_BASE = 0;
const SLOT_PAGES = 1;
const SLOT_VPN = 2;
const SLOT_FLAGS = 3;
const ID_SHIFT = 16;

/** The word to stand a point before when the active set's number is read or swapped. */
export const activeSetWord = (ctx: Context, vm: number): number => vmWord(ctx.m, vm, VM_MEMSLOTS);
/** The active set: a marked read, kvm->srcu held (or slots_lock). */
export const activeSet = (ctx: Context, vm: number): number =>
  setAt(ctx.m, vm, readOnce(ctx.words, activeSetWord(ctx, vm)));
/** Where set 0 or 1 begins. */
export const setAt = (m: Machine, vm: number, which: number): number => vmWord(m, vm, VM_MEMSLOT_SETS) + which * LINE;

export const slotCount = (ctx: Context, slots: number): number => get(ctx.words, slots);
/** The i-th slot of a set, for the accessors below. */
export const slotAt = (slots: number, i: number): number => slots + 1 + i * SLOT_WORDS;
export const slotBase = (ctx: Context, slot: number): number => get(ctx.words, slot + SLOT_BASE);
export const slotPages = (ctx: Context, slot: number): number => get(ctx.words, slot + SLOT_PAGES);
/** userspace_addr in pages. */
export const slotVpn = (ctx: Context, slot: number): number => get(ctx.words, slot + SLOT_VPN);
export const slotFlags = (ctx: Context, slot: number): number => get(ctx.words, slot + SLOT_FLAGS) & 0xffff;
const slotId = (ctx: Context, slot: number): number => get(ctx.words, slot + SLOT_FLAGS) >> ID_SHIFT;
export const slotInvalid = (ctx: Context, slot: number): boolean => (slotFlags(ctx, slot) & KVM_MEMSLOT_INVALID) !== 0;
export const slotReadonly = (ctx: Context, slot: number): boolean => (slotFlags(ctx, slot) & KVM_MEM_READONLY) !== 0;
export const slotLogging = (ctx: Context, slot: number): boolean =>
  (slotFlags(ctx, slot) & KVM_MEM_LOG_DIRTY_PAGES) !== 0;

/** gfn_to_memslot(): the slot of `slots` that holds `gfn`, or -1. */
export function gfnToSlot(ctx: Context, slots: number, gfn: number): number {
  for (let i = slotCount(ctx, slots) - 1; i >= 0; i--) {
    const slot = slotAt(slots, i);
    const offset = gfn - slotBase(ctx, slot);
    if (offset >= 0 && offset < slotPages(ctx, slot)) return slot;
  }
  return -1;
}

/** __gfn_to_hva_memslot(): the VMM's page behind `gfn`. */
export const gfnToVpn = (ctx: Context, slot: number, gfn: number): number =>
  slotVpn(ctx, slot) + gfn - slotBase(ctx, slot);

/**
 * gfn -> vpn by the active memslots, for audits and reports of a machine that stands still; -1 where there is none.
 * A slot that is being moved or deleted counts only if `leaving` is asked for: guests have its pages until they are unmapped.
 */
export function vpnOfGfn(m: Machine, vm: number, gfn: number, leaving = false): number {
  const slots = setAt(m, vm, look(m.words, vmWord(m, vm, VM_MEMSLOTS)));
  for (let i = look(m.words, slots) - 1; i >= 0; i--) {
    const slot = slotAt(slots, i);
    const offset = gfn - look(m.words, slot + SLOT_BASE);
    const valid = leaving || (look(m.words, slot + SLOT_FLAGS) & KVM_MEMSLOT_INVALID) === 0;
    if (valid && offset >= 0 && offset < look(m.words, slot + SLOT_PAGES))
      return look(m.words, slot + SLOT_VPN) + offset;
  }
  return -1;
}

/** The slot with number `id` in a set, or -1. */
export function slotById(ctx: Context, slots: number, id: number): number {
  for (let i = 0; i < slotCount(ctx, slots); i++) if (slotId(ctx, slotAt(slots, i)) === id) return slotAt(slots, i);
  return -1;
}

/**
 * Checks a slot against the machine and the other slots of the set: 0, -EINVAL (bounds) or -EEXIST (guest pages taken).
 * Units: pages.
 */
export function checkSlot(ctx: Context, slots: number, id: number, base: number, pages: number, vpn: number): number {
  const { m } = ctx;
  if (base < 0 || pages <= 0 || base + pages > m.vmPages || vpn < 0 || vpn + pages > m.mmPages) return -EINVAL;
  for (let i = 0; i < slotCount(ctx, slots); i++) {
    const slot = slotAt(slots, i);
    const apart = base >= slotBase(ctx, slot) + slotPages(ctx, slot) || slotBase(ctx, slot) >= base + pages;
    if (slotId(ctx, slot) !== id && !apart) return -EEXIST;
  }
  if (slotById(ctx, slots, id) < 0 && slotCount(ctx, slots) === MEMSLOTS_MAX) return -EINVAL;
  return 0;
}

/** Copies a set onto the inactive one, which nobody reads: slots_lock held and synchronize_srcu passed. */
export function copySet(ctx: Context, from: number, to: number): void {
  for (let i = 0; i < 1 + MEMSLOTS_MAX * SLOT_WORDS; i++) set(ctx.words, to + i, get(ctx.words, from + i));
}

/** kvm_replace_memslot() in the inactive set: adds, changes or (pages 0) removes the slot with number `id`. */
export function replaceSlot(
  ctx: Context,
  slots: number,
  id: number,
  base: number,
  pages: number,
  vpn: number,
  flags: number,
): void {
  const count = slotCount(ctx, slots);
  let slot = slotById(ctx, slots, id);
  if (pages === 0) {
    if (slot < 0) return;
    const last = slotAt(slots, count - 1);
    for (let i = 0; i < SLOT_WORDS; i++) set(ctx.words, slot + i, get(ctx.words, last + i));
    set(ctx.words, slots, count - 1);
    return;
  }
  if (slot < 0) {
    slot = slotAt(slots, count);
    set(ctx.words, slots, count + 1);
  }
  set(ctx.words, slot + SLOT_BASE, base);
  set(ctx.words, slot + SLOT_PAGES, pages);
  set(ctx.words, slot + SLOT_VPN, vpn);
  set(ctx.words, slot + SLOT_FLAGS, flags | (id << ID_SHIFT));
}
