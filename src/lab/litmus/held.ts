/**
 * References that operations of the test hold at its end: what `get` returned and no `put` gave back. They are no leak (I-REF): somebody
 * has them.
 */
import { LITMUS_OPERATIONS } from '../../../actors/litmus-operations.js';
import { HDR_REGISTERS } from '../../machine/layout.js';
import type { LitmusCall, LitmusPlan } from '../../engine/plan.js';
import type { Breach } from '../../engine/program.js';
import { type LitmusState, headOf, isFrame } from './state.js';

/** Operations that return a reference. */
export const GETS: ReadonlySet<string> = new Set(['get', 'get_fast']);

export class HeldReferences {
  /** Registers of gets; and what puts give back. */
  readonly #gets: readonly number[];
  readonly #puts: readonly number[];

  constructor(plan: LitmusPlan) {
    const calls = [...plan.init.map(({ call }) => call), ...plan.columns.flatMap((column) => column.calls)];
    const nameOf = ({ op }: LitmusCall): string => LITMUS_OPERATIONS[op]?.name ?? '';
    this.#gets = calls.flatMap((call) => (GETS.has(nameOf(call)) ? [call.result] : []));
    this.#puts = calls.flatMap((call) => (nameOf(call) === 'put' ? [call.args[0] as number] : []));
  }

  /** Whether a breach only says that a page has as many references more as the test holds. */
  explains(state: LitmusState, breach: Breach): boolean {
    if (breach.invariant !== 'I-REF' || this.#gets.length === 0) return false;
    const { pfn, expected, received } = breach as Breach & { pfn?: number; expected?: string; received?: string };
    if (pfn === undefined || !/^\d+$/.test(expected ?? '') || !/^\d+$/.test(received ?? '')) return false;
    return Number(received) - Number(expected) === this.#of(state, pfn);
  }

  #of(state: LitmusState, head: number): number {
    const count = (registers: readonly number[]): number =>
      registers.filter((register) => {
        const pfn = register < 0 ? -1 : state.load(HDR_REGISTERS + register);
        return isFrame(state, pfn) && headOf(state, pfn) === head;
      }).length;
    return count(this.#gets) - count(this.#puts);
  }
}
