/** Where a campaign's ranges run: on this thread, or on a Piscina pool of their own. */
import { Piscina } from 'piscina';
import type { Executor } from '../../engine/campaign/conductor.js';
import type { RangeResult, RangeTask } from '../../engine/campaign/range.js';
import type { CampaignSpec, RangeRunner } from '../../engine/campaign/runner.js';
import type { ExploreTask } from './task.js';
import type { SubjectDescription } from './explored.js';

/** Ranges on this thread, which gives way to the event loop between them, so that signals and timers are seen. */
export class HereExecutor implements Executor {
  readonly width = 1;
  readonly #runner: RangeRunner;

  constructor(runner: RangeRunner) {
    this.#runner = runner;
  }

  async run(task: RangeTask): Promise<RangeResult> {
    const result = this.#runner.run(task, () => false);
    await new Promise((resolve) => void setImmediate(resolve));
    return result;
  }

  stop(): void {}

  async close(): Promise<void> {}
}

let campaigns = 0;

export class PoolExecutor implements Executor {
  readonly width: number;
  readonly #pool: Piscina;
  readonly #order: Omit<ExploreTask, 'task'>;
  readonly #control = new SharedArrayBuffer(4);

  constructor(workers: number, subject: SubjectDescription, spec: CampaignSpec) {
    // one range under way and one waiting for each: a worker never waits for this thread
    this.width = 2 * workers;
    this.#pool = new Piscina({
      filename: new URL('./task.js', import.meta.url).href,
      minThreads: workers,
      maxThreads: workers,
      idleTimeout: Infinity,
    });
    this.#order = { campaign: ++campaigns, subject, spec, control: this.#control };
  }

  run(task: RangeTask): Promise<RangeResult> {
    return this.#pool.run({ ...this.#order, task } satisfies ExploreTask) as Promise<RangeResult>;
  }

  stop(early: boolean): void {
    Atomics.store(new Int32Array(this.#control), 0, early ? 1 : 0);
  }

  close(): Promise<void> {
    return this.#pool.destroy();
  }
}
