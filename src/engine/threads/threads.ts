/**
 * The engine on real threads: a plan's actors on worker threads of a Piscina pool, conducted from the main thread.
 *
 *     const run = await startThreads(plan, machine, { workers: 4 });
 *     run.onViolation((violation) => console.log(violation));
 *     await run.drain();               // all actors at rest; the audit runs
 *     const end = await run.finish();  // 'finished', 'hang', 'worker-died' or 'aborted'
 *
 * The main thread and the workers share the machine; time-critical commands are words in it (phase.ts), the rest goes over
 * Comlink (control.ts).
 */
import type { ThreadOptions, ThreadRun, ResolvedOptions } from './run.js';
import type { Machine } from '../../machine/layout.js';
import { HOST_DEFAULTS, type HostModules } from './control.js';
import type { Plan } from '../../plan/plan.js';
import { ThreadedRun } from './thread-run.js';
import { WATCHDOG_DEFAULTS } from './watchdog.js';

const url = (path: string): string => new URL(path, import.meta.url).href;

/** Where a host finds the rooms, unless a caller says otherwise. */
export const DEFAULT_MODULES: HostModules = {
  kernel: url('../machine/kernel.js'),
  probe: url('../machine/probes.js'),
  actors: url('../../../actors/index.js'),
};

/** The blocking form of the same rooms (.ci/blocking.mjs). */
const BLOCKING_MODULES = inOneFile('../../../blocking/kernel.js');
/** The same with all schedule points, for the noise maker. */
const NOISY_MODULES = inOneFile('../../../noisy/kernel.js');

function inOneFile(path: string): HostModules {
  return { kernel: url(path), probe: url(path), actors: url(path) };
}

function resolveOptions(options: ThreadOptions): ResolvedOptions {
  const { quantum, sliceMicros, spinTurns, timeouts, noise } = { ...HOST_DEFAULTS, ...options };
  if (!(quantum >= 1) || !(sliceMicros >= 10) || !(spinTurns >= 0)) {
    throw new RangeError(
      `expected quantum >= 1, sliceMicros >= 10, spinTurns >= 0; got ${quantum}, ${sliceMicros}, ${spinTurns}`,
    );
  }
  if (!(noise >= 0 && noise <= 90)) throw new RangeError(`expected noise from 0 to 90 percent; got ${noise}`);
  const ledgers = options.ledgers ?? null;
  return {
    host: { quantum, sliceMicros, spinTurns, timeouts, noise },
    workers: options.workers ?? 0,
    placement: options.placement ?? null,
    events: options.events ?? 'recorder',
    ringRecords:
      options.ringRecords ?? (options.events === 'lossless' || options.events === 'lossy' ? 1 << 16 : 1 << 10),
    ledgers: typeof ledgers === 'function' ? ledgers : () => ledgers,
    sharedPins: options.sharedPins ?? null,
    modules: { ...DEFAULT_MODULES, ...options.modules },
    blockingModules:
      options.form === 'coroutines' || options.modules !== undefined
        ? null
        : noise > 0
          ? NOISY_MODULES
          : BLOCKING_MODULES,
    audit: options.audit ?? (() => []),
    watchdog: options.watchdog === false ? null : { ...WATCHDOG_DEFAULTS, ...options.watchdog },
    rendezvousMs: options.rendezvousMs ?? 10_000,
    workerMemoryMb: options.workerMemoryMb ?? 0,
  };
}

/**
 * Starts the actors of `plan` on worker threads over `machine`, which is laid out, booted and set up already.
 * A worker that dies meanwhile is no error: the run has then ended (`ended`), and says so.
 * @throws RangeError for what a worker refuses while it sets up (an unknown kernel or actor kind), and for bad options
 */
export async function startThreads(plan: Plan, machine: Machine, options: ThreadOptions = {}): Promise<ThreadRun> {
  const run = new ThreadedRun(plan, machine, resolveOptions(options));
  await run.start();
  return run;
}
