/**
 * What of a Context an actor takes along when another Context is made for it (a move to another worker), and what it finds there. Every
 * field of Context stands in one of three groups below; the compiler asks for one that is added.
 */
import type { CarriedState, Context } from '../context.js';
import type { Cpu } from './cpu.js';
import type { Task } from './task.js';

/** `lent`: the new worker gives its own. `own`: goes along. `scratch`: of one operation, so nothing where an actor may leave. */
export const GROUPS = {
  m: 'lent',
  words: 'lent',
  kernel: 'lent',
  probe: 'lent',
  events: 'lent',
  clock: 'lent',
  // follow from the plan and the actor's number, which stay
  actor: 'lent',
  node: 'lent',
  recordAt: 'lent',
  cpuAt: 'lent',
  statsAt: 'lent',
  waiter: 'lent',
  quantum: 'lent',
  tick: 'lent',
  queues: 'lent',
  drain: 'lent',
  finish: 'lent',
  leaving: 'lent',
  task: 'own',
  cpu: 'own',
  accessSequence: 'own',
  accessValue: 'scratch',
  carried: 'own',
  gather: 'scratch',
  out: 'scratch',
  // said with an effect, and heard by the host before the actor leaves
  waitValue: 'scratch',
  freeValue: 'scratch',
  retries: 'scratch',
  sleepMicros: 'scratch',
} as const satisfies Record<keyof Context, 'lent' | 'own' | 'scratch'>;

type OwnField = { [K in keyof typeof GROUPS]: (typeof GROUPS)[K] extends 'own' ? K : never }[keyof typeof GROUPS];

/** A group of numbers and flags: any other field in it is refused, for a copy would share it. */
type Plain<T extends { readonly [K in keyof T]: number | boolean }> = Readonly<T>;

/** Survives structured clone. */
export interface OwnState extends Record<OwnField, unknown> {
  readonly task: Plain<Task>;
  readonly cpu: Plain<Cpu>;
  readonly accessSequence: number;
  readonly carried: CarriedState | null;
}

/** A copy of what is the actor's own. */
export const ownState = (ctx: Context): OwnState => ({
  task: { ...ctx.task },
  cpu: { ...ctx.cpu },
  accessSequence: ctx.accessSequence,
  carried: ctx.carried,
});

/** Gives the actor in `ctx`, which has not begun there, what was its own elsewhere. */
export function takeOver(ctx: Context, own: OwnState): void {
  Object.assign(ctx.task, own.task);
  Object.assign(ctx.cpu, own.cpu);
  ctx.accessSequence = own.accessSequence;
  ctx.carried = own.carried;
}
