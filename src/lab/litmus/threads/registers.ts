/** The plainest observer: the registers, as they are. For litmus plans without a file. */
import { HDR_REGISTERS, type Machine } from '../../../machine/layout.js';
import type { Plan } from '../../../plan/plan.js';
import type { Observer } from './worker.js';

export function createObserver(plan: Plan): Observer {
  const count = plan.litmus?.registers ?? 0;
  const states = new Map<string, number>();
  return {
    observe(m: Machine): number {
      const state = m.words.subarray(HDR_REGISTERS, HDR_REGISTERS + count).join(' ');
      let number = states.get(state);
      if (number === undefined) states.set(state, (number = states.size));
      return number;
    },
    name: (observation) => [...states.keys()][observation] ?? '',
  };
}
