/** A row of the litmus operations: what it takes, who does it, what it gives. */
import type { Context, Coroutine } from '../../src/machine/context.js';
import type { LitmusTask } from '../../src/plan/litmus.js';

export type LitmusParam =
  | 'page'
  | 'range'
  | 'mapping'
  | 'slot'
  | 'register'
  | 'gfn'
  | 'value'
  | 'scratch'
  | 'node'
  | 'count'
  | 'process'
  | 'vm'
  | 'foll'
  | 'prot'
  | 'advice';

export interface LitmusOperation {
  readonly name: string;
  /** In the file's order. `foll` and `prot` take any number of words, at the end. */
  readonly params: readonly LitmusParam[];
  /** The last so many of `params` may be absent: a process then is the actor's own, a count as many as there are. */
  readonly optional?: number;
  /** Who may do it: a task of a process, a vCPU, anybody. */
  readonly by: 'task' | 'vcpu' | 'any';
  /** What the result is: 0 or -errno, content or -signal, pfn or -errno, a number. */
  readonly result: 'errno' | 'value' | 'pfn' | 'count';
  /** It works on the memory of the process that its first argument names, from outside: mmget_not_zero(), and mmput() behind. */
  readonly getsMm?: true;
  /** One line for `list`. */
  readonly summary: string;
  readonly run: (ctx: Context, task: LitmusTask, args: readonly number[]) => Coroutine<number>;
}
