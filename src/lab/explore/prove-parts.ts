/**
 * An exhaustive search on several worker threads: parts of it as short tasks on a Piscina pool. This thread keeps what parts share
 * (engine/exhaustive/split.ts) and takes a part that has had its time to pieces when a worker has nothing to do.
 */
import { Piscina } from 'piscina';
import type { ExhaustiveResult, ExhaustiveRun } from '../../engine/exhaustive/driver.js';
import { SharedSearch } from '../../engine/exhaustive/split.js';
import type { Found } from './prove-found.js';
import type { ProveTask, ProveTaskResult } from './prove-task.js';
import type { SubjectDescription } from './explored.js';

interface PartsOptions {
  readonly subject: SubjectDescription;
  readonly workers: number;
  readonly stepsMax: number;
  /** Executions at most, about. */
  readonly schedules: number;
  /** What parts find goes there. */
  readonly found: Found;
  readonly stop: () => boolean;
  /** Some times a second, with an estimate of the executions left. */
  readonly onProgress: (shared: SharedSearch, steps: number) => void;
}

/** A part's time, milliseconds: long beside a message, short for whoever waits for an answer. */
const PART_MS = 60;

let searches = 0;

/** Goes on with `run`, which is not at its end, on `workers` threads. */
export async function searchInParts(run: ExhaustiveRun, options: PartsOptions): Promise<ExhaustiveResult> {
  const { workers, found, stepsMax, subject } = options;
  const pool = new Piscina<ProveTask, ProveTaskResult>({
    filename: new URL('./prove-task.js', import.meta.url).href,
    minThreads: workers,
    maxThreads: workers,
    idleTimeout: Infinity,
  });
  const control = new SharedArrayBuffer(4);
  const order = { search: ++searches, subject, stepsMax, ms: PART_MS, control };
  const { search, thread } = run;
  const shared = new SharedSearch(thread.program, { stepsMax, onExecution: (...each) => found.add(...each) });
  Object.assign(shared.counts, search.counts);
  shared.steps = run.steps;
  shared.add(search.save());
  const under = new Set<Promise<void>>();
  let failed: unknown;
  const give = (): boolean => {
    while (shared.open < workers - under.size && shared.split());
    const part = shared.take();
    if (part === null) return false;
    const task = pool.run({ ...order, part }).then(
      ({ result, found: more }) => {
        under.delete(task);
        found.merge(more);
        shared.report(part, result);
      },
      (error: unknown) => {
        under.delete(task);
        failed ??= error;
      },
    );
    under.add(task);
    return true;
  };
  let end = '';
  try {
    for (;;) {
      if (shared.counts.executions >= options.schedules) end = 'done';
      else if (options.stop()) end = 'interrupted';
      while (end === '' && failed === undefined && under.size < workers && give());
      if (under.size === 0) break;
      if (end !== '' || failed !== undefined) Atomics.store(new Int32Array(control), 0, 1);
      await Promise.race(under);
      options.onProgress(shared, shared.steps);
    }
  } finally {
    await pool.destroy();
  }
  if (failed !== undefined) throw failed;
  if (shared.isDone) end = shared.exhausted ? 'exhausted' : 'over';
  return { ...shared.counts, exhaustive: shared.exhausted, steps: shared.steps, estimate: shared.estimate, end };
}
