/** Who an operation of a litmus test is done by, and its registers. */
import type { Context } from '../src/machine/context.js';
import { HDR_GIVEN_BACK, HDR_REGISTERS } from '../src/machine/layout.js';
import { peek, set } from '#words';

/** Who does an operation: a process, a VM and its vCPU; -1 = none. */
export interface LitmusTask {
  readonly mm: number;
  readonly vm: number;
  readonly vcpu: number;
}

/** One operation: a row of LITMUS_OPERATIONS (litmus-operations.ts) with its arguments as numbers. */
export interface LitmusCall {
  readonly op: number;
  readonly args: readonly number[];
  /** The register that gets the result, or -1. */
  readonly result: number;
}

/** The part of a plan that litmus actors read. */
export interface LitmusColumns {
  /** By actor. */
  readonly columns: readonly { readonly task: LitmusTask; readonly calls: readonly LitmusCall[] }[];
  /** Fault injection by actor: the n-th allocation that fails, 0 = none. */
  readonly failAllocation: readonly number[];
}

/** What a register holds before its operation has ended. */
export const UNSET = -0x80000000;

export const register = (ctx: Context, r: number): number => peek(ctx.words, HDR_REGISTERS + r);

export function setRegister(ctx: Context, r: number, value: number): void {
  if (r >= 0) set(ctx.words, HDR_REGISTERS + r, value);
}

/** The reference in register `r` is being given back: a device that goes on with it does wrong (I-DMA). */
export function givesBack(ctx: Context, r: number): void {
  if (r >= 0) set(ctx.words, HDR_GIVEN_BACK + r, 1);
}
