/**
 * The Kernel: the record of functions that a policy or a planted bug may replace, and what notifier subscribers give. Kernel code
 * calls these through `ctx.kernel`.
 */
import type { Context, Coroutine } from './context.js';
import type { KernelRules } from './rules.js';

/** A notifier subscriber's callbacks (struct mmu_notifier_ops); ids index VMs or drivers. */
export interface SubscriberOps {
  /** Returns 0, or -EAGAIN when the range is not blockable. start and end are vpns. */
  invalidateRangeStart(
    ctx: Context,
    id: number,
    start: number,
    end: number,
    event: number,
    blockable: boolean,
  ): Coroutine;
  invalidateRangeEnd(ctx: Context, id: number, start: number, end: number): Coroutine<void>;
  release(ctx: Context, id: number): Coroutine<void>;
}

/**
 * The record of kernel functions that a policy or a planted bug may replace. Each room lists its own (`functions.ts` of src/mm, src/kvm and
 * src/hyp), and adds them here: the record's type and the base record (engine/machine/kernel.ts) are what they list. Units: vpn, gfn, start and
 * end in pages, end exclusive. Results: 0 or a count, negative errno, or VM_FAULT_* for faults.
 */
export interface Kernel {
  /** The id under which workers find it: a policy's or a bug's. */
  readonly id: string;
  /** Kernel-version choices that the model names; see {@link KernelRules}. */
  readonly rules: KernelRules;
  readonly subscribers: readonly (SubscriberOps | undefined)[];
}

/** A function of the record, and where the kernel has it. */
export interface FunctionRow<Run> {
  readonly run: Run;
  /** The kernel's file and function; of a part of a function, that function. */
  readonly file: string;
  readonly name: string;
  /** What it is called with and what it gives, beyond its own description. */
  readonly doc: string;
  /** The release that it is read from. */
  readonly release: string;
}

export const kernelFunction = <Run>(
  run: Run,
  file: string,
  name: string,
  doc = '',
  release = 'v6.18',
): FunctionRow<Run> => ({ run, file, name, doc, release });

/** The functions of a list of rows. */
export type FunctionsOf<Rows> = { [Name in keyof Rows]: Rows[Name] extends FunctionRow<infer Run> ? Run : never };

/** The functions of a list of rows. */
export const functionsOf = <Rows extends Record<string, FunctionRow<unknown>>>(rows: Rows): FunctionsOf<Rows> =>
  Object.fromEntries(Object.entries(rows).map(([name, { run }]) => [name, run])) as FunctionsOf<Rows>;
