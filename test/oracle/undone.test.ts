/** I-LIVE as work without progress: what counts, and what explains retries. */
import { describe, expect, it } from 'vitest';
import { MECH } from '#src/machine/mechanisms.js';
import { ACTOR_HELD_COUNT, VM_INVALIDATE_IN_PROGRESS, actorWord, vmWord } from '#src/machine/layout.js';
import { BREAKS_MAX, TURNS_MAX } from '#src/oracle/rules/undone.js';
import { Bench, VCPU, VMM, kinds } from './bench.js';

const GFN = 2;
const OTHER = 2;

/** A bench whose probe judges each step. */
const bench = (): Bench => new Bench({ level: 'all', mode: 'one' });
const found = ({ probe }: Bench): string[] => kinds(probe.violations).filter((each) => each.startsWith('I-LIVE'));

/** `actors` retry in turns, `times` each. */
function retry(on: Bench, actors: readonly number[], times: number): void {
  for (let i = 0; i < times; i++) for (const actor of actors) on.probe.onRetry(on.ctx(actor), 0, GFN);
}

/** A fault of `actor` breaks the leaf and makes one. */
const remake = (on: Bench, actor: number, writable: boolean, pfn = 9): void => {
  const ctx = on.ctx(actor);
  on.probe.onStage2Fault(ctx, 0, GFN, true);
  on.probe.onStage2Unmap(ctx, 0, GFN, 9, 1);
  on.probe.onStage2Map(ctx, 0, GFN, pfn, 1, writable);
  on.probe.onStage2Fault(ctx, 0, GFN, false);
};

describe('retries in turns', () => {
  const TURNS = ['I-LIVE faults retried in turns only'];

  it('of two actors, several each, are for ever', () => {
    const on = bench();
    retry(on, [VCPU, VMM], TURNS_MAX - 1);
    expect(found(on)).toEqual([]);
    retry(on, [VCPU, VMM], 1);
    expect(found(on)).toEqual(TURNS);
  });

  it('of three', () => {
    const on = bench();
    retry(on, [VCPU, VMM, OTHER], TURNS_MAX);
    expect(found(on)).toEqual(TURNS);
  });

  it('of one alone are not', () => {
    const on = bench();
    retry(on, [VCPU], 3 * TURNS_MAX);
    expect(found(on)).toEqual([]);
  });

  it('are explained by a completion, another fault under way, a lock, a notifier of somebody else, an open invalidation', () => {
    const excuses: readonly ((on: Bench) => void)[] = [
      (on) => on.probe.onProgress(on.ctx(OTHER)),
      (on) => on.probe.onStage2Fault(on.ctx(OTHER), 0, GFN, true),
      (on) => (on.m.words[actorWord(on.m, OTHER, ACTOR_HELD_COUNT)] = 1),
      (on) => on.probe.onNotifierStart(on.ctx(OTHER), 0, GFN, GFN + 1, 0),
      (on) => (on.m.words[vmWord(on.m, 0, VM_INVALIDATE_IN_PROGRESS)] = 1),
    ];
    for (const excuse of excuses) {
      const on = bench();
      retry(on, [VCPU, VMM], TURNS_MAX - 1);
      excuse(on);
      retry(on, [VCPU, VMM], 1);
      expect(found(on)).toEqual([]);
    }
  });
});

describe('entries that faults break', () => {
  it('and make again are for ever at once; with another page or more rights they are not', () => {
    const on = bench();
    on.probe.onStage2Perm(on.ctx(VCPU), 0, GFN, 9, 1, false);
    remake(on, VCPU, true);
    remake(on, VCPU, true, 10);
    expect(found(on)).toEqual([]);
    remake(on, VCPU, false);
    expect(found(on)).toEqual(['I-LIVE right stage-2 entry made again']);
  });

  it('in turns are for ever when nobody completes anything', () => {
    const on = bench();
    for (let i = 0; i < BREAKS_MAX; i++) remake(on, i % 2 === 0 ? VCPU : VMM, true, 10 + i);
    expect(found(on)).toEqual(['I-LIVE faults break entries in turns']);
    const other = bench();
    for (let i = 0; i < 2 * BREAKS_MAX; i++) {
      remake(other, VCPU, true, 10 + i);
      if (i % 3 === 2) other.probe.onProgress(other.ctx(VMM));
    }
    expect(found(other)).toEqual([]);
  });

  it('by notifiers and memslots are nothing of that', () => {
    const on = bench();
    const ctx = on.ctx(VMM);
    ctx.task.mechanism = MECH.memslot;
    on.probe.onStage2Fault(ctx, 0, GFN, true);
    for (let i = 0; i < 2 * BREAKS_MAX; i++) {
      on.probe.onStage2Unmap(ctx, 0, GFN, 9, 1);
      on.probe.onStage2Map(ctx, 0, GFN, 9, 1, true);
    }
    expect(found(on)).toEqual([]);
  });
});
