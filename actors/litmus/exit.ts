/**
 * The end of a process, or of a VM, in a litmus test. exit_mmap() runs when the last user of the mm is gone (kernel/exit.c exit_mm(), kernel/fork.c
 * mmput(), v6.18): each task of the process and each thread that runs one of its vCPUs is a user until its column has ended, and so is a
 * call from outside that works on the process's memory while it runs (mmget_not_zero()). `mm_users` counts them, but only where some
 * column calls exit(): of other tests it would be steps for nothing.
 *
 * One of the columns that call exit() does the work, the first in the file's order; another's is the end of one more thread.
 */
import type { Context, Coroutine } from '../../src/machine/context.js';
import { EBADF, EFAULT } from '../../src/machine/abi.js';
import { glance } from '../../src/machine/words/extra-accesses.js';
import { reads, updates } from '../../src/machine/effects.js';
import { MM_USERS, VM_USERS, mmWord, vmWord } from '../../src/machine/layout.js';
import { waitWhile, wake } from '../../src/machine/wait.js';
import { exitMmap } from '../../src/mm/exit.js';
import { cmpxchg, fetchAdd, readOnce } from '#words';
import type { LitmusColumns } from '../../src/plan/litmus.js';
import type { LitmusTask } from '../../src/plan/litmus.js';

/** Taken from the count of users: nobody opens it any more. */
const CLOSED = 1 << 16;

/** The column that ends the memory of `mm`, where `exit` is the number of the operation; -1: none does. */
export const exitingColumn = ({ columns }: LitmusColumns, mm: number, exit: number): number =>
  mm < 0 ? -1 : columns.findIndex(({ task, calls }) => task.mm === mm && calls.some(({ op }) => op === exit));

/** One user less: a thread of `mm` is gone. */
export function* leavesMm(ctx: Context, mm: number): Coroutine<void> {
  yield* puts(ctx, mmWord(ctx.m, mm, MM_USERS));
}

function* puts(ctx: Context, users: number): Coroutine<void> {
  if (--ctx.quantum < 0) yield updates(users);
  fetchAdd(ctx.words, users, -1);
  wake(ctx.m, users);
}

/** exit() by column `index`, where `leader` ends the memory: 0. */
export function* exits(ctx: Context, { mm }: LitmusTask, index: number, leader: number): Coroutine {
  yield* leavesMm(ctx, mm);
  if (index !== leader) return 0;
  const users = mmWord(ctx.m, mm, MM_USERS);
  if (--ctx.quantum < 0) yield reads(users);
  for (;;) {
    const others = readOnce(ctx.words, users);
    // a fork that failed has taken what it had made down again, and with it the count
    if (others <= 0) break;
    yield waitWhile(ctx, users, others);
  }
  yield* exitMmap(ctx, mm);
  return 0;
}

/** atomic_inc_not_zero(), as mmget_not_zero() does it. */
function* getUnlessZero(ctx: Context, users: number): Coroutine<boolean> {
  for (;;) {
    if (--ctx.quantum < 0) yield updates(users);
    const seen = readOnce(ctx.words, users);
    if (seen <= 0) return false;
    if (cmpxchg(ctx.words, users, seen, seen + 1) === seen) return true;
  }
}

/**
 * `call`, an ioctl of `vm`, whose file descriptor keeps the VM while it runs (virt/kvm/kvm_main.c kvm_get_kvm(), kvm_put_kvm()): -EBADF
 * where there is no VM, or no more.
 * @param counted whether some column drops the last reference: otherwise nothing is counted
 */
export function* whileVmLives(ctx: Context, vm: number, counted: boolean, call: Coroutine): Coroutine {
  const users = vmWord(ctx.m, vm, VM_USERS);
  if (!counted) return glance(ctx.words, users) <= 0 ? -EBADF : yield* call;
  if (!(yield* getUnlessZero(ctx, users))) return -EBADF;
  const result = yield* call;
  yield* puts(ctx, users);
  return result;
}

/** The file descriptor of `vm` is closed: waits until no ioctl of another column is at work. -EBADF: there is none. */
export function* closesVm(ctx: Context, vm: number): Coroutine {
  const users = vmWord(ctx.m, vm, VM_USERS);
  for (;;) {
    if (--ctx.quantum < 0) yield updates(users);
    const seen = readOnce(ctx.words, users);
    if (seen <= 0) return -EBADF;
    if (cmpxchg(ctx.words, users, seen, seen - 1 - CLOSED) === seen) break;
  }
  for (;;) {
    if (--ctx.quantum < 0) yield reads(users);
    const others = readOnce(ctx.words, users);
    if (others === -CLOSED) return 0;
    yield waitWhile(ctx, users, others);
  }
}

/** `call`, which works on the memory of a process that may end meanwhile: -EFAULT when it has. */
export function* whileMmLives(ctx: Context, mm: number, call: Coroutine): Coroutine {
  if (!(yield* getUnlessZero(ctx, mmWord(ctx.m, mm, MM_USERS)))) return -EFAULT;
  const result = yield* call;
  yield* leavesMm(ctx, mm);
  return result;
}
