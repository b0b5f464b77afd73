/** The registers of a litmus test: what operations leave for the question. */
import type { Context } from '../../src/machine/context.js';
import { HDR_GIVEN_BACK, HDR_REGISTERS } from '../../src/machine/layout.js';
import { peek, set } from '#words';

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
