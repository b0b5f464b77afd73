/**
 * `pinfall litmus FILE --threads`: the actors of a litmus test on real worker threads, many machines at once, thousands of times a
 * second; and the histogram of how it ended.
 */
import { Piscina } from 'piscina';
import { availableParallelism } from 'node:os';
import { Context } from '../../../machine/context.js';
import { NO_EVENTS } from '../../../events/ring.js';
import { resolveKernel } from '../../../engine/machine/kernel.js';
import { primeOracles } from '../../../engine/machine/litmus-setup.js';
import { createProbe } from '../../../engine/machine/probes.js';
import { type Violation, ledgerBytes, sharedPinBytes, sharedStepBytes } from '../../../oracle/index.js';
import type { Plan } from '../../../plan/plan.js';
import { prepareWithNotes } from '../../../engine/machine/setup.js';
import { Budget, type BudgetEnd, type TimeSource, realTime } from '../../explore/budget.js';
import type { Machine } from '../../../machine/layout.js';
import { type ViolationNames, namesOn } from '../../report/violation.js';
import { MACHINES_MAX } from './adapt.js';
import { LitmusControl, PASSED, STOP } from './control.js';
import type { LitmusTally, LitmusWorkerTask, MachineOracles } from './worker.js';

interface ThreadsOptions {
  readonly plan: Plan;
  /** A module with `createObserver` (worker.ts ObserverModule), and what it is given beside the plan. */
  readonly observer: { readonly url: string; readonly data: unknown };
  readonly iterations: number;
  /** Ends earlier after so many CPU seconds of each worker, or ten times that by the clock. */
  readonly seconds?: number;
  /** Where the clock and CPU time are read. */
  readonly time?: TimeSource;
  /** Worker threads, at most one per actor; default: one per actor as far as there are cores. */
  readonly workers?: number;
  /** Ends at the first violation of one of these invariants, or at the first outcome that the file forbids. */
  readonly untilViolation?: readonly string[];
  /** Resolves when the run shall end early: Ctrl-C. */
  readonly stop?: Promise<void>;
}

export interface ThreadsRow {
  readonly state: string;
  /** By question of the file, whether it holds there. */
  readonly yes: readonly boolean[];
  readonly count: number;
  /** Of these, the iterations in which a rule was broken, on the way or by the final state. */
  readonly broken: number;
  /** The first iteration that ended so. */
  readonly first: number;
}

export interface ThreadsResult {
  readonly iterations: number;
  /** Iterations whose final state was judged by all rules that hold at rest: those that came to rest. */
  readonly audited: number;
  readonly elapsed_s: number;
  /** What ended it early: '' = its iterations were done, something was found, or it was stopped. */
  readonly ended: BudgetEnd;
  readonly workers: number;
  /** The share of iterations in which at least two actors were at work at one time: 0 to 1. */
  readonly overlap: number;
  /** One of `untilViolation` was broken. */
  readonly found: boolean;
  /** The most common first. */
  readonly outcomes: readonly ThreadsRow[];
  /** By invariant. */
  readonly violations: readonly { readonly count: number; readonly first: Violation }[];
  /** Whom and what their numbers mean. */
  readonly names: ViolationNames;
}

/** How often the main thread looks whether the budget is used. */
const LOOK_MS = 20;

/**
 * Runs a litmus plan on real threads.
 * @throws RangeError when its machine cannot be set up
 */
export async function litmusThreads(options: ThreadsOptions): Promise<ThreadsResult> {
  // real CPUs have store buffers of their own
  const plan = { ...options.plan, actors: options.plan.actors.filter(({ kind }) => kind !== 'store-buffer') };
  const workers = Math.min(options.workers ?? Math.max(2, availableParallelism()), plan.actors.length);
  const prepared = Array.from({ length: MACHINES_MAX }, () => prepare(plan, workers));
  const machines = prepared.map(({ machine }) => machine.buffer);
  const oracles = prepared.map((each) => each.oracles);
  const clients = plan.actors.filter(({ tier }) => tier !== 'server').length;
  const control = new SharedArrayBuffer(LitmusControl.bytes(machines.length));
  const spins = workers <= availableParallelism();
  const pool = new Piscina<LitmusWorkerTask, LitmusTally>({
    filename: new URL('./worker.js', import.meta.url).href,
    minThreads: workers,
    maxThreads: workers,
    idleTimeout: Infinity,
    atomics: 'disabled',
  });
  const words = new Int32Array(control);
  const halt = (): boolean => Atomics.compareExchange(words, STOP, 0, 1) === 0;
  // the budget begins when all workers are ready: a busy machine gives it later, and does not turn found into not found
  let budget: Budget | null = null;
  let ended: BudgetEnd = '';
  const timer = setInterval(() => {
    if (budget === null && options.seconds !== undefined && Atomics.load(words, PASSED) > 0) {
      budget = new Budget(options.seconds, options.time ?? realTime);
      budget.workers = workers;
    }
    const end = budget?.end ?? '';
    if (end !== '' && halt()) ended = end;
  }, LOOK_MS);
  void options.stop?.then(halt);
  try {
    const tasks = Array.from({ length: workers }, (_, worker): LitmusWorkerTask => ({
      plan,
      machines,
      oracles,
      control,
      worker,
      workers,
      actors: plan.actors.flatMap((_, actor) => (actor % workers === worker ? [actor] : [])),
      clients,
      iterations: options.iterations,
      spins,
      until: options.untilViolation ?? [],
      observer: options.observer,
    }));
    const tallies = await Promise.all(tasks.map((task) => pool.run(task)));
    const [{ machine }] = prepared as [(typeof prepared)[number]];
    const names = namesOn(
      machine,
      plan.actors.map(({ name }) => name),
    );
    return { ...merge(tallies, workers, options.untilViolation ?? []), names, ended };
  } finally {
    clearInterval(timer);
    await pool.destroy();
  }
}

/** A machine set up, and what its oracles know then: that of the set-up's pins, references and contents. */
function prepare(plan: Plan, workers: number): { readonly machine: Machine; readonly oracles: MachineOracles } {
  const { machine: m, notes } = prepareWithNotes(plan);
  const oracles = {
    ledgers: Array.from({ length: workers }, () => new SharedArrayBuffer(ledgerBytes(m))),
    pins: new SharedArrayBuffer(sharedPinBytes(m)),
    steps: new SharedArrayBuffer(sharedStepBytes(m)),
  };
  const all = { ...plan, oracles: 'all' } as const;
  const probe = createProbe(m, all, 'threads', oracles.ledgers[0] ?? null, oracles.pins, oracles.steps);
  const ctx = new Context(m, resolveKernel(plan.kernel), probe, NO_EVENTS, 0, 0, plan.seed);
  if (plan.litmus !== undefined) primeOracles(m, ctx, probe, notes);
  return { machine: m, oracles };
}

function merge(
  tallies: readonly LitmusTally[],
  workers: number,
  until: readonly string[],
): Omit<ThreadsResult, 'names' | 'ended'> {
  const outcomes = new Map<string, { yes: readonly boolean[]; count: number; broken: number; first: number }>();
  const violations = new Map<string, { count: number; first: Violation }>();
  let iterations = 0;
  let overlapped = 0;
  let audited = 0;
  for (const tally of tallies) {
    iterations += tally.iterations;
    overlapped += tally.overlapped;
    audited += tally.audited;
    for (const { state, yes, count, broken, first } of tally.outcomes) {
      const key = `${state}\n${yes.join(' ')}`;
      const row = outcomes.get(key);
      if (row === undefined) outcomes.set(key, { yes, count, broken, first });
      else {
        row.count += count;
        row.broken += broken;
        row.first = Math.min(row.first, first);
      }
    }
    for (const { count, first } of tally.violations) {
      const { invariant } = first;
      const row = violations.get(invariant);
      if (row === undefined) violations.set(invariant, { count, first });
      else row.count += count;
    }
  }
  const ends = new Set([...outcomes.keys()].map((key) => key.split('\n')[0]));
  return {
    iterations,
    audited,
    elapsed_s: Math.max(...tallies.map(({ elapsed_s }) => elapsed_s)),
    workers,
    overlap: iterations === 0 ? 0 : overlapped / iterations,
    found:
      until.some((invariant) => violations.has(invariant)) ||
      (until.includes('I-LIVE') && ends.has('livelock')) ||
      (until.includes('deadlock') && ends.has('deadlock')),
    outcomes: [...outcomes]
      .map(([key, { yes, count, broken, first }]) => ({ state: key.split('\n')[0] ?? '', yes, count, broken, first }))
      .toSorted((x, y) => y.count - x.count || (x.state < y.state ? -1 : 1)),
    violations: [...violations.values()].toSorted((x, y) => y.count - x.count),
  };
}
