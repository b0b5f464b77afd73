/**
 * Violations of a run that goes on, handed to the explorer one at a time on a thread of low priority: the first of each invariant. For
 * the dashboard, which links a violation to its schedule once there is one.
 */
import { Piscina } from 'piscina';
import type { Plan } from '../../plan/plan.js';
import type { Evidence } from './incident/evidence.js';
import type { Handover } from '../report/handover-row.js';
import type { HandoverTask } from './task.js';

export class BackgroundExplorer {
  readonly #seconds: number;
  readonly #control = new SharedArrayBuffer(4);
  #pool: Piscina | null = null;
  #closed = false;

  /** @param seconds for one violation at most */
  constructor(seconds: number) {
    this.#seconds = seconds;
  }

  /**
   * Searches when its turn comes. Resolves with null when the explorer was closed, or its thread died; never rejects.
   * @param plan of the run
   */
  async explain(plan: Plan, { violation, records, base, ending }: Evidence): Promise<Handover | null> {
    if (this.#closed) return null;
    // a thread for all of them, started with the first: most runs never need it
    this.#pool ??= new Piscina({
      filename: new URL('./task.js', import.meta.url).href,
      minThreads: 0,
      maxThreads: 1,
      idleTimeout: 1000,
    });
    const task: HandoverTask = {
      plan,
      records,
      base,
      ending,
      violation,
      seconds: this.#seconds,
      control: this.#control,
    };
    try {
      return (await this.#pool.run(task)) as Handover;
    } catch {
      return null;
    }
  }

  /** Ends the search under way, and those that wait. */
  async close(): Promise<void> {
    this.#closed = true;
    Atomics.store(new Int32Array(this.#control), 0, 1);
    await this.#pool?.destroy();
  }
}
