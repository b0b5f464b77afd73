/**
 * Time for a search as the work that it may do: CPU seconds of each worker. A busy machine gives them later, and the search comes as far
 * as on an idle one. The clock ends it all the same, at ten times the budget.
 */
import { performance } from 'node:perf_hooks';

/** The clock ends a search at so many times its budget. */
const CLOCK_FACTOR = 10;

/** What ended a search: nothing so far, its CPU time, or the clock. */
export type BudgetEnd = '' | 'budget' | 'clock';

/** Where time is read from, in seconds. */
export interface TimeSource {
  readonly clock: () => number;
  /** CPU time so far: of this thread where `workers` is 1 and the runtime can tell it, else of the process. */
  readonly cpu: (workers: number) => number;
}

interface Usage {
  readonly user: number;
  readonly system: number;
}
/** Since Node 23.9. */
const { threadCpuUsage } = process as { readonly threadCpuUsage?: () => Usage };
const total = ({ user, system }: Usage): number => (user + system) / 1e6;

export const realTime: TimeSource = {
  clock: () => performance.now() / 1000,
  cpu: (workers) =>
    total(workers === 1 && threadCpuUsage !== undefined ? threadCpuUsage.call(process) : process.cpuUsage()),
};

/** A budget that runs from when it is made. */
export class Budget {
  /** CPU seconds of each worker. */
  readonly seconds: number;
  readonly #time: TimeSource;
  readonly #began: number;
  #workers = 1;
  /** Used before the number of workers changed; and since when, by the clock and in CPU time, there are so many. */
  #before = 0;
  #sinceClock: number;
  #sinceCpu: number;

  constructor(seconds: number, time: TimeSource = realTime) {
    this.seconds = seconds;
    this.#time = time;
    this.#began = this.#sinceClock = time.clock();
    this.#sinceCpu = time.cpu(1);
  }

  /** From now on `workers` threads share the work. */
  set workers(workers: number) {
    this.#before = this.used;
    this.#workers = workers;
    this.#sinceClock = this.#time.clock();
    this.#sinceCpu = this.#time.cpu(workers);
  }

  /**
   * CPU seconds of each worker so far. The process has helpers of its own (collector, compiler): a worker has had no more than the
   * clock says.
   */
  get used(): number {
    const clock = this.#time.clock() - this.#sinceClock;
    const cpu = (this.#time.cpu(this.#workers) - this.#sinceCpu) / this.#workers;
    return this.#before + Math.max(0, Math.min(cpu, clock));
  }

  get left(): number {
    return Math.max(0, this.seconds - this.used);
  }

  /** Seconds by the clock. */
  get elapsed(): number {
    return this.#time.clock() - this.#began;
  }

  /** What has ended it. */
  get end(): BudgetEnd {
    if (this.used >= this.seconds) return 'budget';
    return this.elapsed >= this.seconds * CLOCK_FACTOR ? 'clock' : '';
  }

  /** A budget of its own: a share of what is left, but for at least a moment. */
  part(share: number): Budget {
    return new Budget(Math.max(0.1, this.left * share), this.#time);
  }

  /** What a report says of an end. */
  tell(end: BudgetEnd): string {
    if (end === 'budget') return `its ${short(this.seconds)} s of CPU time were used`;
    if (end === '') return '';
    return (
      `${short(this.elapsed)} s on the clock, ${CLOCK_FACTOR} times its budget, in which it got ` +
      `${short(this.used)} s of CPU time: the machine is busy`
    );
  }
}

const short = (seconds: number): string => String(Number(seconds.toFixed(1)));
