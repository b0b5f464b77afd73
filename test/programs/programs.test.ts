/**
 * Random programs of shipped operations on correct kernels raise no alarm.
 *
 *   PROGRAMS=10000 SEED=1   so many programs, from that seed on: `npm run soak:programs`
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LITMUS_OPERATIONS } from '#actors/litmus/operations.js';
import { reduced, tryProgram } from './alarms.js';
import { BY_HAND, programs, textOf, waits } from './random-programs.js';

const PROGRAMS = Number(process.env['PROGRAMS'] ?? 100);
const SEED = Number(process.env['SEED'] ?? 1);
const SCHEDULES = 30;
const BATCH = 100;

/** A program that raised an alarm, made small, as a litmus file. */
const told = (alarm: string, text: string): string => `# ${alarm}\n${text}`;

describe('random programs', () => {
  it(`raise no alarm (${PROGRAMS} of them)`, { timeout: 1e9 }, () => {
    const alarms = new Map<string, string>();
    let ran = 0;
    let steps = 0;
    const refused: string[] = [];
    const started = process.cpuUsage().user;
    for (let from = 0; from < PROGRAMS; from += BATCH) {
      for (const program of fc.sample(programs, { seed: SEED + from, numRuns: Math.min(BATCH, PROGRAMS - from) })) {
        const tried = tryProgram(program, SCHEDULES);
        steps += tried.steps;
        if (tried.refused.length > 0) refused.push(tried.refused[0] as string);
        else ran++;
        if (tried.alarm === '' || alarms.has(tried.alarm)) continue;
        alarms.set(tried.alarm, told(tried.alarm, textOf(reduced(program, tried.alarm, 4 * tried.schedules))));
        if (PROGRAMS > BATCH) process.stdout.write(`${alarms.get(tried.alarm)}\n`);
      }
    }
    if (PROGRAMS > BATCH) {
      const seconds = ((process.cpuUsage().user - started) / 1e6).toFixed(0);
      process.stdout.write(`${ran} programs, ${refused.length} refused, ${steps} steps, ${seconds} s CPU\n`);
      const counts = new Map<string, number>();
      for (const each of refused) counts.set(each, (counts.get(each) ?? 0) + 1);
      for (const [each, count] of [...counts].toSorted((x, y) => y[1] - x[1]).slice(0, 12))
        process.stdout.write(`${count} refused: ${each}\n`);
    }
    expect([...alarms.values()]).toEqual([]);
    expect(ran).toBeGreaterThan(PROGRAMS * 0.7);
  });

  it('are made of all shipped operations', () => {
    const texts = fc.sample(programs, { seed: 1, numRuns: 3000 }).map(textOf).join('\n');
    const missing = LITMUS_OPERATIONS.filter(
      (row) => !BY_HAND.includes(row.name) && !waits(row) && !texts.includes(`${row.name}(`),
    );
    expect(missing.map(({ name }) => name)).toEqual([]);
  });
});
