/** What an actor takes along to another worker: all of its task and its CPU, and nothing that the worker lends. */
import { describe, expect, it } from 'vitest';
import { GROUPS, ownState, takeOver } from '#src/machine/current/own-state.js';
import { Context } from '#src/machine/context.js';
import { MmLab } from '../helpers/mm-lab.js';

const contextOf = (lab: MmLab, seed: number): Context => {
  const { m, kernel, probe, events } = lab.ctx(0);
  return new Context(m, kernel, probe, events, 0, 0, seed);
};

/** Every number and flag unlike its first value, and unlike any other number. */
function fill(group: object): void {
  let next = 1000;
  for (const [name, value] of Object.entries(group)) {
    Object.assign(group, { [name]: typeof value === 'boolean' ? !value : next++ });
  }
}

describe("what is an actor's own", () => {
  it('every field of a Context is in a group, and the groups of scratch hold numbers, flags and lists of numbers', () => {
    const ctx = contextOf(new MmLab(), 1);
    expect(Object.keys(GROUPS).toSorted()).toEqual(Object.keys(ctx).toSorted());
    for (const value of [...Object.values(ctx.out), ...Object.values(ctx.gather)]) {
      expect(typeof value === 'number' || typeof value === 'boolean' || value instanceof Int32Array).toBe(true);
    }
  });

  it('arrives whole, by structured clone, as a copy', () => {
    const lab = new MmLab();
    const from = contextOf(lab, 1);
    fill(from.task);
    fill(from.cpu);
    from.accessSequence = 77;
    from.carried = { done: 7, dmaPfns: new Int32Array([3, 4]) };
    const to = contextOf(lab, 2);
    const own = ownState(from);
    takeOver(to, structuredClone(own));
    expect(to.task).toEqual(from.task);
    expect(to.cpu).toEqual(from.cpu);
    expect(to.accessSequence).toBe(77);
    expect(to.carried).toEqual(from.carried);
    // what either goes on to do is its own
    from.task.time++;
    from.cpu.swapHint++;
    expect([own.task.time, own.cpu.swapHint]).toEqual([from.task.time - 1, from.cpu.swapHint - 1]);
    expect([to.task.time, to.cpu.swapHint]).toEqual([own.task.time, own.cpu.swapHint]);
  });

  it('leaves alone what the worker lends', () => {
    const lab = new MmLab();
    const from = contextOf(lab, 1);
    Object.assign(from, { quantum: 5, tick: 0, queues: true, drain: true, finish: true, leaving: true, retries: 9 });
    const to = contextOf(lab, 1);
    const before = { ...to };
    takeOver(to, structuredClone(ownState(from)));
    expect({ ...to }).toEqual(before);
  });
});
