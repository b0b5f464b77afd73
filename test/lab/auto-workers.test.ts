/** The controller of the number of workers, on simulations that are formulas, and one that is real. */
import { describe, expect, it } from 'vitest';
import { type AutoOptions, type AutoSubject, AutoWorkers } from '#src/lab/run/auto-workers.js';
import { sumStat } from '#src/lab/report/report.js';
import { Simulation } from '#src/lab/run/simulation.js';
import { STAT } from '#src/machine/stats.js';
import { pinfall } from '../cli/run.js';
import { until } from '../engine/threads-plan.js';
import { TINY, scenarioFile } from './tiny.js';

/** Accesses a second by workers and time; its clock stands still between waits. */
class Formula implements AutoSubject {
  elapsedSeconds = 0;
  accesses = 0;
  workers: number;
  readonly workersMax = 8;
  readonly moves: number[] = [];
  readonly #rate: (workers: number, time: number) => number;

  constructor(workers: number, rate: (workers: number, time: number) => number) {
    this.workers = workers;
    this.#rate = rate;
  }

  setWorkers(count: number): Promise<void> {
    this.workers = count;
    this.moves.push(count);
    return Promise.resolve();
  }

  pass(seconds: number): void {
    this.accesses = (this.accesses + this.#rate(this.workers, this.elapsedSeconds) * seconds) % 2 ** 32;
    this.elapsedSeconds += seconds;
  }
}

/** Runs it for so many seconds of the formula's time. */
async function runFor(subject: Formula, seconds: number, options: AutoOptions = {}): Promise<AutoWorkers> {
  let over!: () => void;
  const ended = new Promise<void>((resolve) => (over = resolve));
  const auto = new AutoWorkers(subject, {
    ...options,
    wait: (time) => {
      if (subject.elapsedSeconds >= seconds) over();
      subject.pass(time);
      return new Promise((resolve) => void setImmediate(resolve));
    },
  });
  await ended;
  await auto.stop();
  return auto;
}

const peakAt = (best: number) => (workers: number) => 1e6 / (1 + Math.abs(workers - best) / 3);

describe('the number of workers', () => {
  it.each([
    [8, 2],
    [1, 5],
    [4, 4],
    [2, 8],
    [7, 1],
  ])('climbs from %d to where the rate is best: %d', async (first, best) => {
    const subject = new Formula(first, peakAt(best));
    const auto = await runFor(subject, 60);
    const held = auto.steps.find((step) => step.reason.startsWith('holds'));
    expect(held?.workers).toBe(best);
    for (const step of auto.steps) expect(step.reason).toMatch(/^(tries|stays|back|holds|looks)/);
  });

  it('stays where differences are noise', async () => {
    let seed = 1;
    const noise = (): number => (seed = (seed * 48271) % 2147483647) / 2147483647;
    const subject = new Formula(4, () => 1e6 * (0.97 + 0.06 * noise()));
    const auto = await runFor(subject, 120);
    expect(auto.steps.filter((step) => step.reason.startsWith('stays'))).toEqual([]);
    expect(new Set(subject.moves)).toEqual(new Set([3, 4, 5]));
  });

  it('looks again when the guest does something else, and finds the new place', async () => {
    const subject = new Formula(8, (workers, time) => (time < 60 ? peakAt(2)(workers) : 10 * peakAt(6)(workers)));
    const auto = await runFor(subject, 150, { hold: 100 });
    const holds = auto.steps.filter((step) => step.reason.startsWith('holds')).map((step) => step.workers);
    expect(holds[0]).toBe(2);
    expect(holds.at(-1)).toBe(6);
    expect(auto.steps.some((step) => /^looks again: the rate is \d+ % faster/.test(step.reason))).toBe(true);
  });

  it('ends with its run, in the middle of a wait', async () => {
    const simulation = await Simulation.start({
      scenario: scenarioFile(TINY),
      policy: 'classic',
      seed: 3,
      events: 'off',
      workers: 3,
    });
    const auto = new AutoWorkers(
      {
        get elapsedSeconds() {
          return simulation.elapsedSeconds;
        },
        get workers() {
          return simulation.placement().workers;
        },
        workersMax: 7,
        get accesses() {
          return sumStat(simulation.machine, STAT.accesses);
        },
        setWorkers: (count) => simulation.setWorkers(count),
      },
      { lookSeconds: 0.02, looks: 1, settleSeconds: 0.02 },
    );
    await until(() => auto.steps.length > 2);
    await auto.stop();
    const steps = auto.steps.length;
    const report = await simulation.stop();
    expect(report.violations).toEqual([]);
    expect(auto.steps.length).toBe(steps);
    expect(auto.steps[0]).toMatchObject({ workers: 2, reason: 'tries 2 workers' });
  });

  it('is told as it happens, and in the report', async () => {
    const flags = ['--auto', '--workers', '3', '--duration', '3s', '--seed', '1', '--json'];
    const { code, out, err } = await pinfall('stress', scenarioFile(TINY), '--policy', 'classic', ...flags);
    expect(code).toBe(0);
    const report = JSON.parse(out) as { auto: readonly { at_s: number; workers: number; reason: string }[] };
    expect(report.auto[0]).toMatchObject({ workers: 2, reason: 'tries 2 workers' });
    expect(err).toMatch(/^auto: \d+\.\d s {2}2 workers {2}[\d,]+ accesses\/s {2}tries 2 workers$/m);
  });
});
