/**
 * Samplers: each measures one thing for a short time, over and over, and stands still in between. Those that are compared
 * take turns, so that what else the machine does meanwhile falls on all of them alike.
 */

export interface Sampler {
  /** Measures for about `ms` milliseconds. Returns operations per second. */
  sample(ms: number): Promise<number>;
  /** CPU time that its compilers need before it counts, milliseconds; default 0. */
  readonly warmUpCpuMs?: number;
  /** Gives threads and memory back. @throws Error when what ran was not sound (a violation, a hang) */
  close(): Promise<void>;
}

/** How thoroughly to measure. */
export interface Effort {
  /** Milliseconds of one repetition. */
  readonly ms: number;
  readonly repetitions: number;
  /**
   * Milliseconds of a repetition that is not counted: compilers warm up, coroutines late and slowly. There are `warmUpsMax` at
   * most, and no more once two of them were no faster than the best before and the sampler has had its CPU time.
   */
  readonly warmUpMs: number;
  readonly warmUpsMax: number;
}

export const FULL: Effort = { ms: 200, repetitions: 9, warmUpMs: 250, warmUpsMax: 60 };
export const QUICK: Effort = { ms: 40, repetitions: 3, warmUpMs: 60, warmUpsMax: 1 };

/**
 * Measures all samplers in turn, `repetitions` times, forwards and backwards. Closes them, whatever happens.
 * @returns the samples of each
 */
export async function interleave(samplers: readonly Sampler[], effort: Effort): Promise<number[][]> {
  let samples: number[][] = [];
  let failure: unknown;
  try {
    samples = await takeTurns(samplers, effort);
  } catch (error) {
    failure = error;
  }
  // all of them, also when one fails: none may leave its threads behind
  for (const end of await Promise.allSettled(samplers.map((sampler) => sampler.close()))) {
    if (end.status === 'rejected') failure ??= end.reason;
  }
  if (failure !== undefined) throw failure;
  return samples;
}

/** How much faster a warm-up is than the best before it, when it counts as faster. */
const FASTER = 1.03;

async function warmUp(sampler: Sampler, { warmUpMs, warmUpsMax }: Effort): Promise<void> {
  const start = process.cpuUsage();
  const cpuMs = (): number => {
    const { user, system } = process.cpuUsage(start);
    return (user + system) / 1000;
  };
  let best = 0;
  let late = 0;
  for (let n = 0; n < warmUpsMax && (late < 2 || cpuMs() < (sampler.warmUpCpuMs ?? 0)); n++) {
    const rate = await sampler.sample(warmUpMs);
    late = rate > best * FASTER ? 0 : late + 1;
    best = Math.max(best, rate);
  }
}

async function takeTurns(samplers: readonly Sampler[], effort: Effort): Promise<number[][]> {
  const samples = samplers.map((): number[] => []);
  for (const sampler of samplers) await warmUp(sampler, effort);
  for (let repetition = 0; repetition < effort.repetitions; repetition++) {
    const order = samplers.map((_, i) => (repetition % 2 === 0 ? i : samplers.length - 1 - i));
    for (const i of order) samples[i]?.push(await (samplers[i] as Sampler).sample(effort.ms));
  }
  return samples;
}

/** `sampler`, with what `read` says after each of its samples: `noted(n)` are the last `n`. */
export function noting(sampler: Sampler, read: () => number): { sampler: Sampler; noted: (n: number) => number[] } {
  const readings: number[] = [];
  return {
    sampler: {
      sample: async (ms) => {
        const rate = await sampler.sample(ms);
        readings.push(read());
        return rate;
      },
      close: () => sampler.close(),
    },
    noted: (n) => readings.slice(-n),
  };
}
