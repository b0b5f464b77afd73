/**
 * Samplers: each measures one thing for a short time, over and over, and stands still in between. Those that are compared
 * take turns, so that what else the machine does meanwhile falls on all of them alike.
 */

export interface Sampler {
  /** Measures for about `ms` milliseconds. Returns operations per second. */
  sample(ms: number): Promise<number>;
  /** Gives threads and memory back. @throws Error when what ran was not sound (a violation, a hang) */
  close(): Promise<void>;
}

/** How thoroughly to measure. */
export interface Effort {
  /** Milliseconds of one repetition. */
  readonly ms: number;
  readonly repetitions: number;
  /** Milliseconds of the repetition that is not counted: compilers warm up. */
  readonly warmUpMs: number;
}

export const FULL: Effort = { ms: 250, repetitions: 9, warmUpMs: 500 };
export const QUICK: Effort = { ms: 40, repetitions: 3, warmUpMs: 80 };

/**
 * Measures all samplers in turn, `repetitions` times, forwards and backwards. Closes them, whatever happens.
 * @returns the samples of each
 */
export async function interleave(samplers: readonly Sampler[], effort: Effort): Promise<number[][]> {
  const samples = samplers.map((): number[] => []);
  try {
    for (const sampler of samplers) await sampler.sample(effort.warmUpMs);
    for (let repetition = 0; repetition < effort.repetitions; repetition++) {
      const order = samplers.map((_, i) => (repetition % 2 === 0 ? i : samplers.length - 1 - i));
      for (const i of order) samples[i]?.push(await (samplers[i] as Sampler).sample(effort.ms));
    }
  } finally {
    // one after the other: a failure of one must not leave threads of the others behind
    const ends = await Promise.allSettled(samplers.map((sampler) => sampler.close()));
    for (const end of ends) if (end.status === 'rejected') throw end.reason;
  }
  return samples;
}
