/**
 * Actors on worker threads as a sampler: they run while it measures, and stand still in between. Measuring actors stop between
 * two batches; others are frozen.
 */
import { Subscription } from 'rxjs';
import { runOracles } from '../../engine/threads/oracles.js';
import type { Plan } from '../../plan/plan.js';
import { prepareMachine } from '../../engine/machine/setup.js';
import { startThreads } from '../../engine/threads/threads.js';
import type { ThreadOptions, ThreadRun } from '../../engine/threads/run.js';
import { type Machine, statsBase } from '../../machine/layout.js';
import {
  MEASURED_GO,
  MEASURED_NANOS,
  MEASURED_NANOS_HIGH,
  MEASURED_OPERATIONS,
  MEASURED_STANDS,
  STAT,
  STATS_MEASURED_AT,
} from '../../machine/stats.js';
import { wake } from '../../machine/wait.js';
import { ofType } from '../../trace/observables.js';
import { EventSource } from '../../trace/source.js';
import type { Sampler } from './sampler.js';

type Delivery = 'merged' | 'batches' | 'single';

interface ThreadSamplerOptions {
  readonly plan: Plan;
  /** Worker threads; 0 (default) = one per actor. */
  readonly workers?: number;
  readonly form?: ThreadOptions['form'];
  /**
   * `recorder` (default): every event is written, for reports. Delivered to one subscriber: `merged` in merged order,
   * `batches` as they are drained, `single` one by one, each as an object.
   */
  readonly events?: 'off' | 'recorder' | Delivery;
  /**
   * What is counted: `timed` (default) operations in the actors' own timed phases; `wall` operations in the time that passes,
   * where several actors share a worker; `accesses` of vCPU actors, and other STAT_*, in the time that passes.
   */
  readonly count?: 'timed' | 'wall' | 'accesses';
  /** The audit and the teardown at the end; off where they would take long. */
  readonly audit?: boolean;
}

/** What it takes each worker to compile the kernel for itself: coroutines are optimised late. */
const COROUTINES_CPU_MS = 2000;
const BLOCKING_CPU_MS = 500;
const TWO_32 = 4294967296;
/** A guest of a million pages is filled in less. */
const READY_MS = 120_000;
const STOP_MS = 20_000;
const isDelivery = (events: string): events is Delivery => ['merged', 'batches', 'single'].includes(events);
const sleep = (ms: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, ms));

/** What the actors have counted so far: operations, and their time in nanoseconds. */
interface Reading {
  readonly operations: number;
  readonly nanos: number;
}

export class ThreadsSampler implements Sampler {
  /** Events that reached the subscriber in the last sample, per second; and those lost, in all. */
  deliveredPerSecond = 0;
  dropped = 0;
  /** CPUs that the process had while it measured, of each sample: on a busy machine fewer than it has workers. */
  readonly cpus: number[] = [];
  readonly warmUpCpuMs: number;
  /** The sum that the subscriber makes, so that it is made. */
  sum = 0;
  #received = 0;
  readonly #run: ThreadRun;
  readonly #count: 'timed' | 'wall' | 'accesses';
  readonly #audit: boolean;
  readonly #source: EventSource | null;
  readonly #subscription = new Subscription();

  private constructor(run: ThreadRun, options: ThreadSamplerOptions) {
    this.#run = run;
    const workers = run.threads.length;
    const blocking = options.form !== 'coroutines' && workers === run.plan.actors.length;
    this.warmUpCpuMs = workers * (blocking ? BLOCKING_CPU_MS : COROUTINES_CPU_MS);
    this.#count = options.count ?? 'timed';
    this.#audit = options.audit ?? true;
    const { events = 'recorder' } = options;
    this.#source = isDelivery(events)
      ? new EventSource({ rings: run.rings, actorNames: run.plan.actors.map(({ name }) => name) })
      : null;
    if (this.#source !== null) this.#subscription.add(this.#subscribe(this.#source, events));
  }

  #subscribe({ events$, merged$ }: EventSource, events: ThreadSamplerOptions['events']): Subscription {
    if (events === 'single') {
      return events$.pipe(ofType('mark')).subscribe((event) => {
        this.sum += event.a;
        this.#received++;
      });
    }
    return (events === 'batches' ? events$ : merged$).subscribe((batch) => {
      let sum = 0;
      for (let i = 0; i < batch.length; i++) sum += batch.b(i);
      this.sum += sum;
      this.#received += batch.length;
    });
  }

  /** Starts the actors and waits until they stand at their first timed operation. */
  static async start(options: ThreadSamplerOptions): Promise<ThreadsSampler> {
    const { plan, events = 'recorder', workers = 0, form = 'auto' } = options;
    const machine = prepareMachine(plan);
    const { ledgers, sharedPins, audit } = runOracles(machine, plan);
    const run = await startThreads(plan, machine, {
      workers,
      form,
      events: isDelivery(events) ? 'lossless' : events,
      ...(events === 'recorder' && { ringRecords: 1 << 13 }),
      timeouts: false,
      // nobody moves between two samples
      watchdog: false,
      ledgers,
      sharedPins,
      ...(options.audit !== false && { audit }),
    });
    const sampler = new ThreadsSampler(run, options);
    await sampler.#stop(READY_MS);
    return sampler;
  }

  async sample(ms: number): Promise<number> {
    const before = this.#readings();
    const received = this.#received;
    const cpuBefore = process.cpuUsage();
    const started = performance.now();
    await this.#go();
    await sleep(ms);
    const micros = (performance.now() - started) * 1000;
    // while they run: how long they take to stop is in no count
    const running = this.#readings();
    const { user, system } = process.cpuUsage(cpuBefore);
    this.cpus.push((user + system) / micros);
    this.deliveredPerSecond = ((this.#received - received) / micros) * 1e6;
    await this.#stop(STOP_MS);
    this.#source?.pump();
    this.dropped = this.#source?.counters.dropped ?? 0;
    // of two words each, which only stand still together
    const after = this.#count === 'timed' ? this.#readings() : running;
    let rate = 0;
    after.forEach(({ operations, nanos }, actor) => {
      const from = before[actor] as Reading;
      const done = (operations - from.operations) >>> 0;
      rate += this.#count === 'timed' ? (done / Math.max(1, nanos - from.nanos)) * 1e9 : (done / micros) * 1e6;
    });
    return rate;
  }

  async close(): Promise<void> {
    const end = this.#audit ? await this.#run.finish() : await this.#run.abort('measured');
    this.#source?.close();
    this.#subscription.unsubscribe();
    const [violation] = end.violations;
    if (violation !== undefined) throw new Error(`a violation while measuring: ${JSON.stringify(violation)}`);
    if (end.kind !== 'finished' && end.text !== 'measured') throw new Error(`while measuring: ${end.text}`);
  }

  async #go(): Promise<void> {
    if (this.#count === 'accesses') await this.#run.resume();
    else this.#tell(1);
  }

  /** Resolves when nobody moves. */
  async #stop(patienceMs: number): Promise<void> {
    if (this.#count === 'accesses') {
      await this.#run.pause();
      return;
    }
    this.#tell(0);
    const { machine, plan } = this.#run;
    const deadline = performance.now() + patienceMs;
    while (!allStand(machine)) {
      if (performance.now() > deadline) throw new Error(`${plan.scenario}: the actors run on after ${patienceMs} ms`);
      await sleep(1);
    }
  }

  #tell(go: number): void {
    const { machine } = this.#run;
    for (let actor = 0; actor < machine.cpus; actor++) {
      const word = statsBase(machine, actor) + STATS_MEASURED_AT + MEASURED_GO;
      Atomics.store(machine.words, word, go);
      wake(machine, word);
    }
  }

  #readings(): Reading[] {
    const { machine, plan } = this.#run;
    return plan.actors.map((_, actor) => {
      const stats = statsBase(machine, actor);
      if (this.#count === 'accesses') return { operations: machine.words[stats + STAT.accesses] as number, nanos: 0 };
      const at = stats + STATS_MEASURED_AT;
      const low = (machine.words[at + MEASURED_NANOS] as number) >>> 0;
      const high = machine.words[at + MEASURED_NANOS_HIGH] as number;
      return { operations: machine.words[at + MEASURED_OPERATIONS] as number, nanos: high * TWO_32 + low };
    });
  }
}

/** Whether every measuring actor stands between two batches. */
function allStand(m: Machine): boolean {
  for (let actor = 0; actor < m.cpus; actor++) {
    if (Atomics.load(m.words, statsBase(m, actor) + STATS_MEASURED_AT + MEASURED_STANDS) === 0) return false;
  }
  return true;
}
