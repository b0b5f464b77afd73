/** What is explored, and how another thread comes by it. */
import type { Plan } from '../../plan/plan.js';
import type { LitmusSource } from '../litmus/source.js';
import type { Program } from '../../engine/one-thread/program.js';

export interface Subject {
  /** The scenario's or program's name, or the scenario file's path as it was given. */
  readonly scenario: string;
  readonly policy: string;
  readonly seed: number;
  /** Of what the scenario came to: schedule files carry it. */
  readonly hash: string;
  /** Whether there are workloads to vary from schedule to schedule. */
  readonly varies: boolean;
  create(): Program;
  /** Why no schedule can ask anything; absent where some can. */
  readonly notAsked?: string;
  /** Of a litmus test: its file's text, which schedule files hold. */
  readonly litmus?: string;
  /** The same subject as plain data, for {@link subjectFrom} on another thread; null where it has none. */
  readonly description: SubjectDescription | null;
}

/** A subject as plain data: it crosses to workers by structured clone. */
export type SubjectDescription =
  | { readonly kind: 'program'; readonly name: string; readonly policy: string; readonly seed: number }
  | { readonly kind: 'plan'; readonly plan: Plan }
  | { readonly kind: 'litmus'; readonly source: LitmusSource }
  /** A module whose export `program` makes the program: models of one's own. */
  | { readonly kind: 'module'; readonly url: string; readonly name: string; readonly seed: number };
