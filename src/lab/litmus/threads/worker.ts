/**
 * A worker of a litmus run on real threads. It hosts one actor (or some) of every machine of the batch:
 *
 *   put its share of the machines back -> barrier -> run its actors on all of them -> barrier -> those preempted go on -> barrier
 *   -> look at its share's outcomes
 *
 * All workers walk the machines in the same circular order from a random start, a few apart, so that actors of one machine meet
 * without anybody waiting for anybody. An actor that must wait is left behind and looked at again; nothing sleeps inside a round.
 */
import { type EventWriter, mixSeed } from '../../../machine/context.js';
import { Machine } from '../../../machine/layout.js';
import { NO_EVENTS } from '../../../events/ring.js';
import { resolveKernel } from '../../../engine/machine/kernel.js';
import { MachineImage } from '../../../engine/one-thread/machine-image.js';
import { createProbe, oracleOptions } from '../../../engine/machine/probes.js';
import type { Plan } from '../../../plan/plan.js';
import { Ledger, type OracleOptions, type Violation, auditAll, restartAudit } from '../../../oracle/index.js';
import { Adapter } from './adapt.js';
import { BATCH, FIRST, LitmusControl, SPREAD, STOP } from './control.js';
import { MemoryImage } from './memory-image.js';
import { Player } from './player.js';

/** Judges the final state of a machine. */
export interface Observer {
  /** Machine number `machine` stands as it was set up. */
  prepare?(m: Machine, machine: number): void;
  /** Who listens to the events of its actors, if anybody does. */
  events?(machine: number): EventWriter | null;
  /** It has been put back to its start. */
  reset?(machine: number): void;
  /** A small number for its final state. */
  observe(m: Machine, machine: number): number;
  name(observation: number): string;
  /** By question, whether it holds in that state. */
  yes?(observation: number): readonly boolean[];
  /** Whether a question says that this state must not be. */
  isForbidden?(observation: number): boolean;
}

interface ObserverModule {
  readonly createObserver: (plan: Plan, data: unknown) => Observer;
}

export interface LitmusWorkerTask {
  readonly plan: Plan;
  /** The machines, each set up; alike. */
  readonly machines: readonly SharedArrayBuffer[];
  /** What the oracles of each machine's workers know. */
  readonly oracles: readonly MachineOracles[];
  readonly control: SharedArrayBuffer;
  readonly worker: number;
  readonly workers: number;
  /** The plan's actors that this worker hosts. */
  readonly actors: readonly number[];
  /** How many of the plan's actors end by themselves. */
  readonly clients: number;
  readonly iterations: number;
  readonly spins: boolean;
  /** The run ends at the first violation of one of these. */
  readonly until: readonly string[];
  readonly observer: { readonly url: string; readonly data: unknown };
}

/** The oracles' memory of one machine; the first worker's ledger, pins and steps as the set-up leaves them. */
export interface MachineOracles {
  /** A ledger for each worker. */
  readonly ledgers: readonly SharedArrayBuffer[];
  readonly pins: SharedArrayBuffer;
  readonly steps: SharedArrayBuffer;
}

/** What a worker found in its share of the machines. */
export interface LitmusTally {
  readonly outcomes: readonly {
    readonly state: string;
    readonly yes: readonly boolean[];
    readonly count: number;
    readonly broken: number;
    readonly first: number;
  }[];
  readonly violations: readonly { readonly count: number; readonly first: Violation }[];
  readonly iterations: number;
  /** Final states that were judged by all rules that hold at rest. */
  readonly audited: number;
  readonly overlapped: number;
  readonly rounds: number;
  /** Since everybody was ready. */
  readonly elapsed_s: number;
}

/** Turns around actors that wait, most of them with a nap, before a round is looked at as stuck; a real wait is over after some hundred. */
const STUCK_TURNS = 30_000;
/** Turns in which somebody moved, before those still at work are taken to go round for good: some thousand points each. */
const ROUND_TURNS = 5000;
/** Fruitless turns before a worker takes those who wait to wait for somebody who was preempted. */
const IDLE_TURNS = 40;
/** An actor is preempted within its first so many points: operations have some tens to some hundreds. */
const PREEMPTION_POINTS = [16, 64, 256, 1024] as const;
/** Fruitless turns before a worker lets others run, with a core of its own and without, and for how long, milliseconds. */
const SPIN_TURNS = 3000;
const PATIENCE_TURNS = 64;
const NAP_MS = 0.02;

/** The worker's task: returns when the run is over. */
export default async function litmusWorker(task: LitmusWorkerTask): Promise<LitmusTally> {
  const { createObserver } = (await import(task.observer.url)) as ObserverModule;
  return new LitmusWorker(task, createObserver(task.plan, task.observer.data)).run();
}

class LitmusWorker {
  readonly #task: LitmusWorkerTask;
  readonly #observer: Observer;
  readonly #control: LitmusControl;
  readonly #machines: readonly Machine[];
  readonly #images: readonly MachineImage[];
  /** By machine, then by actor of this worker. */
  readonly #players: readonly (readonly Player[])[];
  readonly #isServer: readonly boolean[];
  readonly #adapter: Adapter | null;
  readonly #oracles: OracleOptions;
  /** By machine: the ledgers of all workers, and what this worker puts back of the oracles' memory. */
  readonly #ledgers: readonly (readonly Ledger[])[];
  readonly #memory: readonly MemoryImage[];
  readonly #shared: readonly MemoryImage[];
  readonly #outcomes = new Map<number, { count: number; broken: number; first: number }>();
  readonly #violations = new Map<string, { count: number; first: Violation }>();
  #audited = 0;
  #stuck = 0;
  #round = 0;
  #overlapped = 0;
  #iterations = 0;
  #rounds = 0;
  #started = 0;
  #seed: number;
  #random: number;

  constructor(task: LitmusWorkerTask, observer: Observer) {
    const { plan, machines, actors, workers, worker } = task;
    this.#task = task;
    this.#observer = observer;
    this.#control = new LitmusControl(task.control, workers, task.spins);
    this.#machines = machines.map((buffer) => new Machine(plan.machine, buffer));
    this.#images = this.#machines.map((m) => new MachineImage(m));
    const kernel = resolveKernel(plan.kernel);
    this.#players = this.#machines.map((m, machine) => {
      const { ledgers, pins, steps } = task.oracles[machine] as MachineOracles;
      const probe = createProbe(m, { ...plan, oracles: 'all' }, 'threads', ledgers[worker] ?? null, pins, steps);
      observer.prepare?.(m, machine);
      const events = observer.events?.(machine) ?? NO_EVENTS;
      return actors.map((actor) => new Player(plan, kernel, m, machine, actor, probe, events, actors.length > 1));
    });
    this.#isServer = actors.map((actor) => plan.actors[actor]?.tier === 'server');
    this.#oracles = oracleOptions({ ...plan, oracles: 'all' }, 'threads');
    this.#ledgers = task.oracles.map(({ ledgers }, i) =>
      ledgers.map((ledger) => new Ledger(this.#machines[i] as Machine, ledger)),
    );
    this.#memory = task.oracles.map(({ ledgers }) => new MemoryImage([ledgers[worker] as SharedArrayBuffer]));
    this.#shared = task.oracles.map(({ pins, steps }) => new MemoryImage([pins, steps]));
    this.#adapter = worker === 0 ? new Adapter(machines.length) : null;
    this.#seed = plan.seed | 1;
    this.#random = mixSeed(plan.seed, 1 + worker);
  }

  run(): LitmusTally {
    const { worker, workers, iterations } = this.#task;
    const control = this.#control;
    const { words } = control;
    if (this.#adapter !== null) this.#settle(this.#adapter);
    // everybody has taken its images of the machines as they were set up
    control.barrier();
    this.#started = performance.now();
    for (let total = 0; ;) {
      const batch = words[BATCH] as number;
      for (let i = worker; i < batch; i += workers) {
        (this.#images[i] as MachineImage).restore((this.#machines[i] as Machine).words);
        (this.#shared[i] as MemoryImage).restore();
        control.resetMachine(i);
        this.#observer.reset?.(i);
      }
      for (let i = 0; i < batch; i++) (this.#memory[i] as MemoryImage).restore();
      control.barrier();
      this.#play(batch, ((words[FIRST] as number) + worker * (words[SPREAD] as number)) % batch);
      this.#tell(batch);
      control.barrier();
      const overlapped = this.#look(batch, total);
      total += batch;
      this.#rounds++;
      if (this.#adapter !== null) {
        this.#adapter.round(overlapped * workers, performance.now());
        this.#settle(this.#adapter);
        if (total >= iterations || Atomics.load(words, STOP) === 1) Atomics.store(words, STOP, 2);
      }
      control.barrier();
      if (Atomics.load(words, STOP) === 2) return this.#tally();
    }
  }

  /** The next round's setting, written by one worker while the others wait for the barrier. */
  #settle(adapter: Adapter): void {
    const { words } = this.#control;
    const { batch, spread } = adapter.setting;
    this.#seed ^= this.#seed << 13;
    this.#seed ^= this.#seed >>> 17;
    this.#seed ^= this.#seed << 5;
    words[BATCH] = batch;
    words[SPREAD] = spread;
    words[FIRST] = (this.#seed >>> 0) % batch;
  }

  /** Runs this worker's actors on all machines of the round. */
  #play(batch: number, from: number): void {
    const control = this.#control;
    const { spins } = this.#task;
    const isServer = this.#isServer;
    const behind: Player[] = [];
    const servers: boolean[] = [];
    for (let i = 0; i < batch; i++) {
      const machine = (from + i) % batch;
      const players = this.#players[machine] as readonly Player[];
      for (let n = 0; n < players.length; n++) {
        const player = players[n] as Player;
        const server = isServer[n] === true;
        player.start(server ? 0 : this.#preemption());
        if (!server) control.begin(machine);
        if (player.run()) {
          if (!server) control.end(machine);
        } else {
          behind.push(player);
          servers.push(server);
        }
      }
      if (behind.length > 0) this.#turn(behind, servers, false);
    }
    for (let idle = 0; idle < IDLE_TURNS && behind.some(({ preempted }) => !preempted); idle++) {
      if (this.#turn(behind, servers, false)) idle = 0;
    }
    // those preempted stand still until everybody else has been everywhere
    control.barrier();
    for (let turns = 0, moves = 0; behind.length > 0; turns++) {
      if (this.#turn(behind, servers, true)) {
        turns = 0;
        if (++moves > ROUND_TURNS) for (const { machine } of behind) control.giveUp(machine, true);
      } else if (turns > STUCK_TURNS) for (const { machine } of behind) control.giveUp(machine);
      else if (turns > (spins ? SPIN_TURNS : PATIENCE_TURNS)) {
        // a nap, also when the run has been told to end: else turns are over before an actor elsewhere has moved
        Atomics.wait(control.words, STOP, Atomics.load(control.words, STOP), NAP_MS);
      }
    }
  }

  /**
   * Half of the actors are preempted once, at a random point, as an interrupt would do it: where there are fewer free cores than
   * workers, little else makes them overlap.
   */
  #preemption(): number {
    this.#random ^= this.#random << 13;
    this.#random ^= this.#random >>> 17;
    this.#random ^= this.#random << 5;
    const word = this.#random >>> 0;
    return (word & 1) === 0 ? 0 : 1 + ((word >>> 8) % (PREEMPTION_POINTS[(word >>> 1) & 3] as number));
  }

  /**
   * Looks at those left behind. True: somebody has moved.
   * @param all those who were preempted too
   */
  #turn(behind: Player[], servers: boolean[], all: boolean): boolean {
    const control = this.#control;
    const { clients } = this.#task;
    let moved = false;
    for (let i = behind.length - 1; i >= 0; i--) {
      const player = behind[i] as Player;
      const { machine } = player;
      if (player.preempted && !all) continue;
      player.preempted = false;
      if (servers[i] === true && control.ended(machine) === clients) player.finish();
      let gone = control.isStuck(machine);
      if (!gone) {
        if (!player.canGo()) continue;
        moved = true;
        gone = player.run();
        if (gone && servers[i] !== true) control.end(machine);
      }
      if (!gone) continue;
      behind.splice(i, 1);
      servers.splice(i, 1);
    }
    return moved;
  }

  /** The outcomes of this worker's share. Returns how many of them had overlapping actors. */
  #look(batch: number, total: number): number {
    const { worker, workers } = this.#task;
    const control = this.#control;
    let overlapped = 0;
    for (let machine = worker; machine < batch; machine += workers) {
      this.#iterations++;
      if (control.overlapped(machine)) overlapped++;
      if (control.isStuck(machine)) {
        const round = control.wentRound(machine);
        if (round) this.#round++;
        else this.#stuck++;
        if (this.#task.until.includes(round ? 'I-LIVE' : 'deadlock'))
          Atomics.compareExchange(control.words, STOP, 0, 1);
        continue;
      }
      const m = this.#machines[machine] as Machine;
      const sound = this.#audit(m, this.#ledgers[machine] as readonly Ledger[]);
      this.#count(this.#observer.observe(m, machine), total + machine, !sound || control.isBroken(machine));
    }
    this.#overlapped += overlapped;
    return overlapped;
  }

  #count(observation: number, iteration: number, broken: boolean): void {
    const row = this.#outcomes.get(observation);
    if (row !== undefined) {
      row.count++;
      if (broken) row.broken++;
      return;
    }
    if (this.#task.until.length > 0 && this.#observer.isForbidden?.(observation) === true) {
      Atomics.compareExchange(this.#control.words, STOP, 0, 1);
    }
    this.#outcomes.set(observation, { count: 1, broken: broken ? 1 : 0, first: iteration });
  }

  /** The whole machine, at rest, by every rule that holds then. Whether none is broken. */
  #audit(m: Machine, ledgers: readonly Ledger[]): boolean {
    this.#audited++;
    restartAudit(m, this.#oracles);
    const found = auditAll(m, this.#oracles, ledgers);
    for (const violation of found) this.#broken(violation);
    return found.length === 0;
  }

  /** The rules that this worker's actors have broken on their way. */
  #tell(batch: number): void {
    for (let machine = 0; machine < batch; machine++) {
      const [player] = this.#players[machine] as readonly Player[];
      const probe = player?.probe;
      if (probe === undefined || probe.violations.length === 0) continue;
      for (const violation of probe.violations) this.#broken(violation);
      this.#control.breaks(machine);
      probe.forget();
    }
  }

  #broken(violation: Violation): void {
    const { until } = this.#task;
    if (until.includes(violation.invariant)) Atomics.compareExchange(this.#control.words, STOP, 0, 1);
    const row = this.#violations.get(violation.invariant);
    if (row === undefined) this.#violations.set(violation.invariant, { count: 1, first: { ...violation } });
    else row.count++;
  }

  #tally(): LitmusTally {
    const outcomes = [...this.#outcomes].map(([observation, { count, broken, first }]) => ({
      state: this.#observer.name(observation),
      yes: this.#observer.yes?.(observation) ?? [],
      count,
      broken,
      first,
    }));
    for (const [state, count] of [
      ['deadlock', this.#stuck],
      ['livelock', this.#round],
    ] as const) {
      if (count > 0) outcomes.push({ state, yes: [], count, broken: count, first: 0 });
    }
    return {
      outcomes,
      violations: [...this.#violations.values()],
      iterations: this.#iterations,
      audited: this.#audited,
      overlapped: this.#overlapped,
      rounds: this.#rounds,
      elapsed_s: (performance.now() - this.#started) / 1000,
    };
  }
}
