/**
 * A sweep's state on disk: every measurement made so far, written whole after each. A sweep is a function of its measurements,
 * so one that was stopped goes on where it stood: what is on disk is not measured again.
 */
import { createHash } from 'node:crypto';
import { writeFileWhole } from '../input/whole-file.js';
import { z } from 'zod';
import { readBounded } from '../input/bounded-file.js';
import { fileProblem, writeProblem } from '../input/file-problem.js';
import { InputError } from '../../errors/errors.js';
import type { Sample } from './statistics.js';

const STATE_SCHEMA = 'pinfall.tune/1';

const STATE = z.object({
  schema: z.literal(STATE_SCHEMA),
  /** Of what is swept. */
  hash: z.string(),
  /** The same for people. */
  what: z.string(),
  finished: z.boolean(),
  violations: z.int().min(0),
  /** How long measuring took, seconds. */
  took_s: z.number().min(0),
  /** Measurements that came to nothing, and why. */
  failed: z
    .array(z.object({ stage: z.string(), repetition: z.int().min(0), id: z.string(), why: z.string() }))
    .default([]),
  samples: z.array(
    z.object({ stage: z.string(), repetition: z.int().min(0), id: z.string(), value: z.number().min(0) }),
  ),
});

/** The hash of what is swept: any plain data. */
export const sweepHash = (swept: unknown): string =>
  createHash('sha256').update(JSON.stringify(swept)).digest('hex').slice(0, 16);

/** A measurement that came to nothing. */
type Failed = z.infer<typeof STATE>['failed'][number];

/** The state of one sweep, in a file or (path null) in memory only. */
export class SweepState {
  readonly #path: string | null;
  readonly #hash: string;
  readonly #what: string;
  readonly #samples: Sample[];
  readonly #failed: Failed[];
  #violations: number;
  #tookSeconds: number;
  /** Told of the first failure to write; then null. */
  #onUnwritten: ((error: unknown) => void) | null;
  /** How many measurements an earlier call has made. */
  readonly resumed: number;

  private constructor(
    path: string | null,
    hash: string,
    what: string,
    before: z.infer<typeof STATE> | null,
    onUnwritten: ((error: unknown) => void) | null,
  ) {
    this.#onUnwritten = onUnwritten;
    this.#path = path;
    this.#hash = hash;
    this.#what = what;
    this.#samples = [...(before?.samples ?? [])];
    this.#failed = [...(before?.failed ?? [])];
    this.#violations = before?.violations ?? 0;
    this.#tookSeconds = before?.took_s ?? 0;
    this.resumed = this.#samples.length;
  }

  /**
   * Goes on with the state at `path` when it is of this sweep and unfinished; begins anew when there is none, or a finished
   * one. Writes it, so that a file that cannot be written is known before anything is measured. A disk that fills up later does not end
   * the sweep: what was measured is kept here, and `onUnwritten` is told once.
   * @throws InputError for an unfinished sweep of something else, a file that is no state, or one that cannot be written
   */
  static open(
    path: string | null,
    hash: string,
    what: string,
    onUnwritten: ((error: unknown) => void) | null = null,
  ): SweepState {
    const before = path === null ? null : readState(path);
    if (before !== null && !before.finished && before.hash !== hash) {
      throw new InputError(
        `${path}: an unfinished sweep of ${before.what}, not of ${what}: finish it with its options, remove it, or name another --state`,
      );
    }
    const state = new SweepState(path, hash, what, before !== null && !before.finished ? before : null, onUnwritten);
    try {
      state.#writeNow(false);
    } catch (error) {
      throw new InputError(`${path}: cannot be written (${writeProblem(error)})`);
    }
    return state;
  }

  get samples(): readonly Sample[] {
    return this.#samples;
  }

  get failed(): readonly Failed[] {
    return this.#failed;
  }

  get violations(): number {
    return this.#violations;
  }

  get tookSeconds(): number {
    return this.#tookSeconds;
  }

  /** Whether a measurement has been made, or has come to nothing. */
  has(stage: string, repetition: number, id: string): boolean {
    const here = (s: Sample | Failed): boolean => s.stage === stage && s.repetition === repetition && s.id === id;
    return this.#samples.some(here) || this.#failed.some(here);
  }

  /** Keeps a measurement. */
  add(sample: Sample, violations: number, seconds: number): void {
    this.#samples.push(sample);
    this.#violations += violations;
    this.#tookSeconds += seconds;
    this.#write(false);
  }

  /** Keeps that a measurement came to nothing. */
  fail(failed: Failed, violations: number, seconds: number): void {
    this.#failed.push(failed);
    this.#violations += violations;
    this.#tookSeconds += seconds;
    this.#write(false);
  }

  finish(): void {
    this.#write(true);
  }

  #write(finished: boolean): void {
    try {
      this.#writeNow(finished);
    } catch (error) {
      this.#onUnwritten?.(error);
      this.#onUnwritten = null;
    }
  }

  #writeNow(finished: boolean): void {
    if (this.#path === null) return;
    const state: z.infer<typeof STATE> = {
      schema: STATE_SCHEMA,
      hash: this.#hash,
      what: this.#what,
      finished,
      violations: this.#violations,
      took_s: this.#tookSeconds,
      failed: this.#failed,
      samples: this.#samples,
    };
    writeFileWhole(this.#path, `${JSON.stringify(state, null, 1)}\n`);
  }
}

const STATE_BYTES_MAX = 64 << 20;

function readState(path: string): z.infer<typeof STATE> | null {
  let text: string;
  try {
    text = readBounded(path, path, STATE_BYTES_MAX, 'the state of a sweep').toString('utf8');
  } catch (error) {
    if (error instanceof InputError) throw error;
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw new InputError(`${path}: ${fileProblem(error)}`);
  }
  try {
    return STATE.parse(JSON.parse(text));
  } catch {
    throw new InputError(`${path}: not the state of a sweep; remove it, or name another --state`);
  }
}
