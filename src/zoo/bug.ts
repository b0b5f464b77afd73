/** What a planted bug is: a historical mistake (kernel-model 6) as a small record of replaced kernel functions. */
import type { Kernel } from '../machine/context.js';
import type { BugClash } from './bug-clash.js';

export interface Bug {
  /** Z04; siblings of one entry have a suffix: Z01-no-retry. Also the id of its kernel. */
  readonly id: string;
  /** One line for `pinfall zoo`. */
  readonly title: string;
  /** The commit that mended it; empty for bugs that only the model knows. */
  readonly commit: string;
  /** The first release with the fix: `v6.1`; empty where there was none. */
  readonly fixedIn: string;
  /** What went wrong, in two or three sentences of our own. */
  readonly story: string;
  /** The policy whose kernel it is planted in. */
  readonly policy: string;
  /** The kernel in which its litmus test is clean, where the policy itself has the bug; default: the policy's. */
  readonly cleanOn?: string;
  /** The functions (and `rules`) it replaces in that kernel. */
  readonly replace: Partial<Omit<Kernel, 'id'>>;
  /**
   * What catches it: invariants, each of which may be the first to be broken; or answers of its litmus file, by the number of the
   * question from 1: `forbidden 2` (it happens), `exists 1` (it can be).
   */
  readonly expect: readonly string[];
  /** Its litmus file, beside the bug's own: small enough to search. Without the bug it is proved clean. */
  readonly litmus: string;
  /** Its two steps, as the commit message or the story tells them: what a clash that is found is held against. */
  readonly clash: BugClash;
}
