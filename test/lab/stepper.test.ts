/** Walks through recorded schedules, and records that are continued. */
import { describe, expect, it } from 'vitest';
import { END_DRAINED, END_FINISHED, OneThread } from '#src/engine/one-thread.js';
import { type Schedule, formatSchedule, parseSchedule } from '#src/engine/schedule-file.js';
import { random } from '#src/engine/strategies/random.js';
import { explore } from '#src/lab/explore.js';
import { replay } from '#src/lab/replay.js';
import { Stepper } from '#src/lab/stepper.js';
import { subjectOf } from '#src/lab/subject.js';
import { pinfall, start } from '../cli/run.js';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const subject = subjectOf({ scenario: 'pin-race', policy: 'check-then-notify', seed: 1 });

async function record(): Promise<Schedule> {
  const { report } = await explore({ subject, strategy: 'random', schedules: 2000 });
  return parseSchedule(String(report.violations[0]?.['schedule']));
}

/** Any schedule of the correct kernel, recorded up to `steps` steps. */
function prefix(steps: number, stepsMax = 20_000): Schedule {
  const correct = subjectOf({ scenario: 'pin-race', policy: 'classic', seed: 1 });
  const thread = new OneThread(correct.create(), stepsMax);
  const strategy = random.create({ seed: 1, depth: 1 });
  strategy.begin(0, thread.program.actors.length);
  const end = thread.run(strategy, 0);
  expect(end).toBe(stepsMax > 5000 ? END_FINISHED : END_DRAINED);
  return {
    scenario: 'pin-race',
    policy: 'classic',
    seed: 1,
    variation: 0,
    strategy: 'random',
    hash: correct.hash,
    stepsMax,
    end: stepsMax > 5000 ? 'finished' : 'step-limit, then drained',
    actors: thread.program.actors,
    choices: thread.choices.slice(0, Math.min(steps, thread.steps)),
  };
}

describe('a walk', () => {
  it('shows the same state forwards and backwards, and the broken one at its end', async () => {
    const schedule = await record();
    const stepper = new Stepper(schedule, subject);
    const seen: string[] = [];
    for (let step = 0; step <= schedule.choices.length; step += 7) {
      stepper.goTo(step);
      seen.push(stepper.describe().join('\n'));
    }
    for (let i = seen.length - 1; i >= 0; i--) {
      stepper.goTo(7 * i);
      expect(stepper.describe().join('\n')).toBe(seen[i]);
    }
    stepper.goTo(1e9);
    expect(stepper.at).toBe(schedule.choices.length);
    const last = stepper.describe().join('\n');
    expect(last).toContain('the record ends here: violation I-PINNED-S2');
    expect(last).toMatch(/mm0 0x\d+ +pfn 0x\d+ .*refs 1025/);
    expect(last).toMatch(/numa-balancer: next .* in \w+\(\) at src\/\w+\/[\w-]+\.ts:\d+ {2}holds mm0 mmap_lock/);
    stepper.close();
  });

  it('goes from one context switch to the next', async () => {
    const schedule = await record();
    const stepper = new Stepper(schedule, subject);
    let switches = 0;
    while (stepper.at < stepper.steps) {
      const before = schedule.choices[stepper.at];
      stepper.nextSwitch();
      if (stepper.at < stepper.steps) expect(schedule.choices[stepper.at]).not.toBe(before);
      switches++;
    }
    expect(switches).toBeGreaterThan(2);
    stepper.close();
  });

  it('is taken from standard input by replay --step', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'pinfall-'));
    const file = join(folder, 'a.schedule');
    writeFileSync(file, formatSchedule(await record()));
    const main = fileURLToPath(new URL('../../dist/src/cli/main.js', import.meta.url));
    const { code, out, err } = await start('sh', [
      '-c',
      `printf 'n\np\nx\n3\nq\n' | node ${main} replay ${file} --step`,
    ]).done;
    expect(code).toBe(0);
    expect(out.match(/^step \d+ of/gm)).toEqual(['step 0 of', 'step 1 of', 'step 0 of', 'step 3 of']);
    expect(err).toContain('n or Enter: a step');
  });
});

describe('replay', () => {
  it('of a schedule that was cut by its step limit ends as it did', () => {
    const schedule = prefix(100, 100);
    const correct = subjectOf({ scenario: 'pin-race', policy: 'classic', seed: 1 });
    const { report } = replay(parseSchedule(formatSchedule(schedule)), correct, 'x');
    expect([report.end.kind, report.steps, report.reproduced]).toEqual(['step-limit, then drained', 100, true]);
  });

  it('goes on with another strategy where the record ends, always in the same way', () => {
    const schedule = prefix(50);
    const correct = subjectOf({ scenario: 'pin-race', policy: 'classic', seed: 1 });
    const alone = replay(schedule, correct, 'x').report;
    expect(alone.end.kind).toBe('mismatch');
    const first = replay(schedule, correct, 'x', { continueWith: 'random' });
    const second = replay(schedule, correct, 'x', { continueWith: 'random' });
    expect(first.report.end.kind).toBe('finished');
    expect(first.report.continued).toEqual({ strategy: 'random', after_step: 50, why: 'the record ends there' });
    expect(second.events).toBe(first.events);
  });

  it('says at which step it stopped matching, and goes on from there', () => {
    const whole = prefix(5000);
    const last = whole.choices.at(-1) as number;
    const choices = Uint8Array.from([...whole.choices.slice(0, 20), ...Array.from({ length: 400 }, () => last)]);
    const correct = subjectOf({ scenario: 'pin-race', policy: 'classic', seed: 1 });
    const alone = replay({ ...whole, choices }, correct, 'x').report;
    expect(alone.end.kind).toBe('mismatch');
    expect(alone.end.detail).toMatch(/^step \d+: the record names \S+, which (cannot run|has returned)/);
    const { report } = replay({ ...whole, choices }, correct, 'x', { continueWith: 'pct' });
    expect(report.end.kind).toBe('finished');
    expect(report.continued?.after_step).toBeGreaterThanOrEqual(20);
    expect(report.continued?.why).toMatch(/^the record names .* cannot run there$/);
  });

  it('refuses a strategy that there is none of', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'pinfall-'));
    const file = join(folder, 'a.schedule');
    writeFileSync(file, formatSchedule(prefix(50)));
    const { code, out, err } = await pinfall('replay', file, '--then', 'hope');
    expect([code, out]).toEqual([2, '']);
    expect(err).toMatch(/^pinfall: --then: no 'hope'; expected one of /);
  });
});
