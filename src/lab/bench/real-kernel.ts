/** The kernel of this machine, measured by a small C program (real-kernel.c) where a compiler is there. */
import { execFile, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Sampler } from './sampler.js';

const COMPILERS = ['cc', 'gcc', 'clang'] as const;
/** Beside this file in the source tree; this one runs from dist/. */
const SOURCE = fileURLToPath(new URL('../../../../src/lab/bench/real-kernel.c', import.meta.url));
const COMPILE_MS = 60_000;
/** Beyond the time asked for. */
const RUN_MS = 20_000;

const run = promisify(execFile);

export type RealOperation = 'fault' | 'refault';

/** Rates of Linux 6.18 on two cores, for comparison where nothing can be compiled: operations/s on one and two threads. */
const REFERENCE_RATES: Readonly<Record<RealOperation, readonly [number, number]>> = {
  fault: [750_000, 1_550_000],
  refault: [370_000, 300_000],
};

/** The compiled program, in a folder of its own until `close`. */
export class RealKernel {
  readonly #folder: string;
  readonly #program: string;

  private constructor(folder: string, program: string) {
    this.#folder = folder;
    this.#program = program;
  }

  /** Compiles it; null where there is no Linux, no compiler or no source. */
  static compile(): RealKernel | null {
    if (process.platform !== 'linux' || !existsSync(SOURCE)) return null;
    const folder = mkdtempSync(join(tmpdir(), 'pinfall-bench-'));
    const program = join(folder, 'real-kernel');
    for (const compiler of COMPILERS) {
      const args = ['-O2', '-pthread', '-o', program, SOURCE];
      if (spawnSync(compiler, args, { stdio: 'ignore', timeout: COMPILE_MS }).status === 0) {
        return new RealKernel(folder, program);
      }
    }
    rmSync(folder, { recursive: true, force: true });
    return null;
  }

  sampler(operation: RealOperation, threads: number): Sampler {
    return {
      sample: async (ms) => {
        const args = [operation, String(threads), String(ms)];
        const { stdout } = await run(this.#program, args, { timeout: ms + RUN_MS });
        return Number(stdout);
      },
      close: () => Promise.resolve(),
    };
  }

  close(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** What stands in for the real kernel where it cannot be measured. */
export const referenceSampler = (operation: RealOperation, threads: 1 | 2): Sampler => ({
  sample: () => Promise.resolve(REFERENCE_RATES[operation][threads - 1] as number),
  close: () => Promise.resolve(),
});
