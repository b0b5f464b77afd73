/**
 * An actor of a litmus test: it does the operations of its column, in order, and ends. Nothing stands between two operations: each
 * begins at its own first schedule point.
 *
 *   column               which column of the plan's litmus part
 */
import type { Context, Coroutine } from '../../src/machine/context.js';
import { reads, writes } from '../../src/machine/effects.js';
import { HDR_REGISTERS, MM_FORKS, VCPU_CLOSED, mmWord, vcpuWord } from '../../src/machine/layout.js';
import { emit } from '../../src/events/emit.js';
import { EVENT } from '../../src/events/table.js';
import { isBuffered } from '../../src/machine/store-buffer.js';
import { waitWhile, wake } from '../../src/machine/wait.js';
import { readOnce, writeOnce } from '#words';
import { closesVm, exitingColumn, exits, leavesMm, whileMmLives, whileVmLives } from './exit.js';
import { blocksOf, runBlock } from './fused.js';
import { LITMUS_OPERATIONS, litmusOperation } from './operations.js';
import type { LitmusColumns, LitmusTask } from '../../src/plan/litmus.js';
import { setRegister } from './registers.js';

/** Does the operations of column `index`. @throws RangeError when the plan has no such column */
export function* litmus(ctx: Context, index: number, plan: LitmusColumns | undefined): Coroutine<void> {
  const column = plan?.columns[index];
  if (plan === undefined || column === undefined) throw new RangeError(`no litmus column ${index}`);
  const { task, calls } = column;
  ctx.task.failAllocation = plan.failAllocation[index] ?? 0;
  if (plan.columns.some((other) => other.calls.some(({ op, args }) => op === FORK && args[0] === task.mm))) {
    yield* untilForked(ctx, task.mm);
  }
  const blocks = blocksOf(plan, PLAIN_WRITE, PLAIN_READ)[index];
  for (let i = 0; i < calls.length; i++) {
    const { op, args, result } = calls[i] as (typeof calls)[number];
    const block = blocks?.[i];
    if (block !== undefined && ctx.quantum > block.length && !isBuffered(ctx)) {
      runBlock(ctx, block);
      ctx.quantum -= block.length;
      i += block.length - 1;
      continue;
    }
    emit(ctx, EVENT.litmus_call, i, 1, 0, 0);
    const value = yield* callOf(ctx, plan, index, op, args);
    setRegister(ctx, result, value);
    emit(ctx, EVENT.litmus_call, i, 0, value, 0);
  }
  if (task.vm >= 0) yield* closeVcpu(ctx, plan, task);
  const ends = exitingColumn(plan, task.mm, EXIT) >= 0 && calls.every(({ op }) => op !== EXIT);
  if (ends) yield* leavesMm(ctx, task.mm);
}

/** One operation of a column: what it has to do with the end of a process is seen to. */
function* callOf(ctx: Context, plan: LitmusColumns, index: number, op: number, args: readonly number[]): Coroutine {
  const { task } = plan.columns[index] as LitmusColumns['columns'][number];
  if (op === EXIT) {
    const result = yield* exits(ctx, task, index, exitingColumn(plan, task.mm, EXIT));
    ctx.probe.onProgress(ctx);
    return result;
  }
  const row = LITMUS_OPERATIONS[op];
  if ((op === UNPIN || op === PUT) && isUsedElsewhere(plan, index, args[0] as number)) {
    if (--ctx.quantum < 0) yield writes(HDR_REGISTERS + (args[0] as number));
  }
  if (op === DESTROY_VM) {
    const vm = args[0] as number;
    yield* untilVcpusClosed(ctx, plan, vm);
    const closed = yield* closesVm(ctx, vm);
    return closed === 0 ? yield* litmusCall(ctx, task, op, args) : closed;
  }
  if (row?.params[0] === 'slot') {
    const vm = args[0] as number;
    return yield* whileVmLives(ctx, vm, isDestroyed(plan, vm), litmusCall(ctx, task, op, args));
  }
  // a vCPU's file descriptor comes from its VM's
  if (row?.by === 'vcpu' && isCreated(plan, task.vm)) {
    return yield* whileVmLives(ctx, task.vm, false, litmusCall(ctx, task, op, args));
  }
  const mm = row?.getsMm === true ? (args[0] ?? task.mm) : task.mm;
  const call = litmusCall(ctx, task, op, args);
  return mm !== task.mm && exitingColumn(plan, mm, EXIT) >= 0 ? yield* whileMmLives(ctx, mm, call) : yield* call;
}

/** Whether another column than `index` goes on with the reference in register `r`. */
const isUsedElsewhere = ({ columns }: LitmusColumns, index: number, r: number): boolean =>
  columns.some(
    ({ calls }, i) =>
      i !== index && calls.some(({ op, args }) => (op === PIN_READ || op === PIN_WRITE) && args[0] === r),
  );

/** Whether some column drops the last reference to `vm`. */
const isDestroyed = ({ columns }: LitmusColumns, vm: number): boolean =>
  columns.some(({ calls }) => calls.some(({ op, args }) => op === DESTROY_VM && args[0] === vm));

/** Whether some column makes `vm`. */
const isCreated = ({ columns }: LitmusColumns, vm: number): boolean =>
  columns.some(({ calls }) => calls.some(({ op, args }) => op === CREATE_VM && args[0] === vm));

function* closeVcpu(ctx: Context, plan: LitmusColumns, task: LitmusTask): Coroutine<void> {
  if (ctx.cpu.loadedVm >= 0) yield* ctx.kernel.vcpuPut(ctx, task.vm, task.vcpu);
  if (isDestroyed(plan, task.vm)) {
    const closed = vcpuWord(ctx.m, task.vm, task.vcpu, VCPU_CLOSED);
    if (--ctx.quantum < 0) yield writes(closed);
    writeOnce(ctx.words, closed, 1);
    wake(ctx.m, closed);
  }
}

const PLAIN_WRITE = litmusOperation('plain_write');
const PLAIN_READ = litmusOperation('plain_read');
const FORK = litmusOperation('fork');
const CREATE_VM = litmusOperation('create_vm');
const DESTROY_VM = litmusOperation('destroy_vm');
const EXIT = litmusOperation('exit');
const UNPIN = litmusOperation('unpin');
const PUT = litmusOperation('put');
const PIN_READ = litmusOperation('pin_read');
const PIN_WRITE = litmusOperation('pin_write');

/** A task of a process that some column forks into begins when that fork has returned. */
function* untilForked(ctx: Context, mm: number): Coroutine<void> {
  const forks = mmWord(ctx.m, mm, MM_FORKS);
  if (--ctx.quantum < 0) yield reads(forks);
  while (readOnce(ctx.words, forks) === 0) yield waitWhile(ctx, forks, 0);
}

/**
 * kvm_put_kvm(): every vCPU's file descriptor holds a reference to its VM, so the last one goes when those who run vCPUs are done
 * (virt/kvm/kvm_main.c kvm_vcpu_release, v6.18).
 */
function* untilVcpusClosed(ctx: Context, { columns }: LitmusColumns, vm: number): Coroutine<void> {
  for (let i = 0; i < columns.length; i++) {
    const { task } = columns[i] as (typeof columns)[number];
    if (task.vm !== vm) continue;
    const closed = vcpuWord(ctx.m, vm, task.vcpu, VCPU_CLOSED);
    if (--ctx.quantum < 0) yield reads(closed);
    while (readOnce(ctx.words, closed) === 0) yield waitWhile(ctx, closed, 0);
  }
}

/** One operation. */
export function* litmusCall(ctx: Context, task: LitmusTask, op: number, args: readonly number[]): Coroutine {
  const operation = LITMUS_OPERATIONS[op];
  if (operation === undefined) throw new RangeError(`no litmus operation ${op}`);
  const value = yield* operation.run(ctx, task, args);
  ctx.probe.onProgress(ctx);
  return value;
}
