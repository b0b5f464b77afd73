/** Walks through recorded schedules, and records that are continued. */
import { describe, expect, it } from 'vitest';
import { END_DRAINED, END_FINISHED, OneThread } from '#src/engine/one-thread/one-thread.js';
import { type Schedule, formatSchedule, parseSchedule } from '#src/engine/one-thread/schedule-file.js';
import { random } from '#src/engine/strategies/random.js';
import { explore } from '#src/lab/explore/explore.js';
import { replay } from '#src/lab/replay/replay.js';
import { Stepper } from '#src/lab/replay/stepper.js';
import { subjectOf } from '#src/lab/explore/subject.js';
import { pinfall, start } from '../cli/run.js';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const subject = subjectOf({ scenario: 'pin-race', policy: 'check-then-notify', seed: 1 });

let recorded: Schedule | undefined;

async function record(): Promise<Schedule> {
  recorded ??= await found();
  return recorded;
}

async function found(): Promise<Schedule> {
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

  it('tells what the last step did and changed, with the source of the next one', async () => {
    const stepper = new Stepper(await record(), subject);
    stepper.goTo(20);
    const [, source] = stepper.describe();
    expect(source).toMatch(/^ {2}(src|actors)\/[\w/-]+\.ts:\d+ {2}\S/);
    expect(source).not.toContain('ctx.quantum');
    expect(stepper.search('stage2_unmap(gfn', 1)).toBe(true);
    const text = stepper.describe().join('\n');
    expect(text).toMatch(/\nlast was numa-balancer, stage2_unmap\(\): stage 2\(gfn 0x\d\): pfn 0x\d+ RW -> none\n/);
    expect(text).toMatch(/\n {2}event numa-balancer: stage2_unmap\(gfn 0x\d\) {2}<-- pinned page unmapped\n/);
    // the word by its name, and by what was in it
    expect(text).toMatch(/\n {2}entry \d of stage-2 table \d: pfn 0x\d+ RW -> none\n/);
    stepper.close();
  });

  it('stops at words, actors and events, on and back; refuses what is not there, with the nearest name', async () => {
    const schedule = await record();
    const stepper = new Stepper(schedule, subject);
    stepper.addBreakpoint('event', 'page_pin');
    expect(stepper.toBreakpoint(1)).toBe(true);
    const pinned = stepper.at;
    expect(stepper.describe().join('\n')).toContain('event dma: pin_user_pages(');
    stepper.addBreakpoint('actor', 'numa-balancer');
    expect(stepper.toBreakpoint(1)).toBe(true);
    expect(schedule.actors[schedule.choices[stepper.at - 1] as number]).toBe('numa-balancer');
    stepper.breakpoints.pop();
    stepper.toBreakpoint(-1);
    expect(stepper.at).toBe(pinned);
    stepper.breakpoints.splice(0, 1, { part: 'word', text: 'mmu_lock' });
    stepper.goTo(stepper.steps);
    expect(stepper.toBreakpoint(-1)).toBe(true);
    expect(stepper.describe().join('\n')).toMatch(/\nlast was .*lock mmu_lock/);
    // nothing there: to the end of the record, and its state is that of the walk before
    stepper.goTo(stepper.steps);
    expect([stepper.toBreakpoint(1), stepper.at]).toEqual([false, stepper.steps]);
    expect(() => stepper.addBreakpoint('actor', 'numa-balanser')).toThrow("did you mean 'numa-balancer'?");
    expect(() => stepper.addBreakpoint('event', 'page_pni')).toThrow("did you mean 'page_pin'?");
    expect(() => stepper.addBreakpoint('word', 'no such word')).toThrow(
      "no step of this schedule has word 'no such word'",
    );
    stepper.close();
  });

  it('is taken from standard input by replay --step', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'pinfall-'));
    const file = join(folder, 'a.schedule');
    writeFileSync(file, formatSchedule(await record()));
    const main = fileURLToPath(new URL('../../dist/src/cli/main.js', import.meta.url));
    const { code, out, err } = await start('sh', [
      '-c',
      `printf 'n\np\nx\n3\n/pin_user\nb actor dmaa\nb actor dma\nc\nq\n' | node ${main} replay ${file} --step`,
    ]).done;
    expect(code).toBe(0);
    const shown = out.match(/^step \d+ of/gm) ?? [];
    expect(shown.slice(0, 4)).toEqual(['step 0 of', 'step 1 of', 'step 0 of', 'step 3 of']);
    expect(shown).toHaveLength(6);
    expect(out).toContain("no actor 'dmaa'; did you mean 'dma'?");
    expect(out).toContain('\n1: actor dma\n');
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
