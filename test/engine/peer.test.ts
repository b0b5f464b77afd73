/** The peer model against what other tools say of it: its size, its executions, its bug. */
import { stateText } from '#src/engine/one-thread/outcome.js';
import { describe, expect, test } from 'vitest';
import { FIRST_WAIT } from '#src/machine/effects.js';
import { OneThread, type StepObserver } from '#src/engine/one-thread/one-thread.js';
import type { Program } from '#src/engine/one-thread/program.js';
import { PROGRAMS } from '#src/engine/programs/index.js';
import { pinVsWriteProtect, pinVsWriteProtectBuggy } from '#src/engine/programs/pin-vs-write-protect.js';
import { strategyKind } from '#src/engine/strategies/index.js';

/** The reads-from relation of a schedule: which write each read, or lock each unlock, got. Failed attempts do not count. */
class ReadsFrom implements StepObserver {
  #links: string[] = [];
  #lastWrite = new Map<number, string>();
  #count: number[] = [];
  #effect = 0;

  begin(): void {
    this.#links = [];
    this.#lastWrite.clear();
    this.#count = [0, 0, 0];
  }

  beforeStep(_actor: number, effect: number): void {
    this.#effect = effect;
  }

  afterStep(actor: number, next: number, step: number): void {
    if (step === 0 || (next >= 0 && (next & 15) >= FIRST_WAIT)) return;
    const kind = this.#effect & 15;
    const word = this.#effect >>> 4;
    const name = `${actor}.${this.#count[actor]}`;
    this.#count[actor] = (this.#count[actor] as number) + 1;
    if (kind === 0 || kind === 3 || kind >= FIRST_WAIT) this.#links.push(`${name}<${this.#lastWrite.get(word) ?? ''}`);
    if (kind !== 0) this.#lastWrite.set(word, name);
  }

  get key(): string {
    return this.#links.toSorted().join(' ');
  }
}

/** How many executions that differ in what is read from where come up in many schedules. */
function executions(program: Program): number {
  const seen = new Set<string>();
  const observer = new ReadsFrom();
  const thread = new OneThread(program, 1000);
  thread.observer = observer;
  for (const [name, depth] of [
    ['pct', 2],
    ['pct', 4],
    ['random', 1],
  ] as const) {
    const strategy = strategyKind(name)?.create({ seed: 1, depth });
    for (let schedule = 0; schedule < 10_000; schedule++) {
      strategy?.begin(schedule, 3);
      observer.begin();
      if (strategy !== undefined) thread.run(strategy, 0);
      seen.add(observer.key);
    }
  }
  return seen.size;
}

describe('the peer model', () => {
  test('is in the registry under the names that commands take', () => {
    expect(PROGRAMS.map(({ name }) => name)).toEqual(['pin-vs-write-protect', 'pin-vs-write-protect-buggy']);
    for (const { name, create } of PROGRAMS) expect(create().name).toBe(name);
  });

  test('has the 17 executions that an optimal model checker (GenMC) counts', () => {
    expect(executions(pinVsWriteProtect())).toBe(17);
  });

  test('takes about 24 steps a schedule', () => {
    const thread = new OneThread(pinVsWriteProtect(), 1000);
    const strategy = strategyKind('random')?.create({ seed: 1, depth: 1 });
    let steps = 0;
    for (let schedule = 0; schedule < 2000; schedule++) {
      strategy?.begin(schedule, 3);
      if (strategy !== undefined) thread.run(strategy, 0);
      steps += thread.steps;
    }
    expect(steps / 2000).toBeGreaterThan(23);
    expect(steps / 2000).toBeLessThan(26);
  });

  test('the buggy twin breaks one rule: a pinned page is merged', () => {
    const program = pinVsWriteProtectBuggy();
    const thread = new OneThread(program, 1000);
    const strategy = strategyKind('random')?.create({ seed: 1, depth: 1 });
    const broken = new Set<string>();
    const states = new Set<string>();
    for (let schedule = 0; schedule < 5000; schedule++) {
      strategy?.begin(schedule, 3);
      if (strategy !== undefined) thread.run(strategy, 0);
      for (const { invariant } of thread.breaches) broken.add(invariant);
      states.add(stateText(program.finalState(program.observe())));
    }
    expect([...broken]).toEqual(['I-RO']);
    expect(states).toContain('merged=1 pinned=1 stage2=0');
  });
});
