/**
 * The run that the pages see, and what they may do to it. A session has one run at a time; `restart` ends it, keeps its
 * report, and begins another with the scenario, policy and seed asked for. Commands are done one after the other.
 */
import { NotNow, InputError } from '../../errors/errors.js';
import type { PageAnswer, Command, CommandAnswer, RunStatus, StateMessage } from '../protocol.js';
import type { ActorNow, KnobInfo, MoveResult, Placement, StepInfo } from '../../lab/live/types.js';
import type { Report } from '../../lab/report/run-row.js';
import { endedNote } from './ended.js';
import { type FeedOptions, RunFeed } from './feed.js';
import type { Frame } from './frames.js';
import type { Watched } from './watched.js';

/** What a run is started with. */
export interface RunChoice {
  readonly scenario: string;
  /** Undefined: the scenario's own. */
  readonly policy?: string | undefined;
  /** Undefined: a new one. */
  readonly seed?: number | undefined;
  /** Undefined: one worker per actor. */
  readonly workers?: number | undefined;
}

interface SessionOptions extends FeedOptions {
  readonly owner: 'dashboard' | 'stress';
  readonly choice: RunChoice;
  /** Starts a run. @throws InputError for one that cannot be */
  readonly start: (choice: RunChoice) => Promise<Watched>;
  /** What `restart` may name. */
  readonly scenarios: readonly string[];
  readonly policies: readonly string[];
}

/** A command's answer with its HTTP status. */
interface Done {
  readonly status: 200 | 400 | 409;
  readonly answer: CommandAnswer;
}

/** Commands that wait for those before them. */
const QUEUE_MAX = 16;
const NOWHERE: Placement = { workers: 0, workersMax: 0, rows: [] };

export class Session {
  readonly #options: SessionOptions;
  #choice: RunChoice;
  #simulation: Watched | null = null;
  #feed: RunFeed | null = null;
  #status: RunStatus = 'ended';
  #run = 0;
  #note = '';
  #end: StateMessage['end'] = null;
  #report: Report | null = null;
  #queue: Promise<unknown> = Promise.resolve();
  #queued = 0;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#choice = options.choice;
  }

  /** The report of the run, so far; null before the first. */
  get report(): Report | null {
    return this.#report ?? this.#simulation?.reportSoFar() ?? null;
  }

  /** Starts the first run. @throws InputError */
  async begin(): Promise<void> {
    await this.#begin(this.#choice);
  }

  /** Watches a run that somebody else has started. */
  watch(simulation: Watched): void {
    this.#simulation = simulation;
    this.#run++;
    this.#report = null;
    this.#end = null;
    this.#feed = new RunFeed(simulation, this.#run, this.#options);
    this.#status = 'running';
    const { scenario, kernel, seed } = simulation.plan;
    this.#say(`run ${this.#run} began: ${scenario}, policy ${kernel}, seed ${seed}`);
    void simulation.ended.then(() => {
      if (this.#simulation === simulation) void this.#enqueue(() => this.#over(simulation));
    });
    // a run that the dashboard owns is done when its actors are: nothing more can happen in it
    if (this.#options.owner === 'stress') return;
    void simulation.scenarioOver.then(() => {
      if (this.#simulation === simulation) void this.#enqueue(() => this.#over(simulation));
    });
  }

  /** Ends the run and gives its report; null when there never was one. */
  async close(interrupted: boolean): Promise<Report | null> {
    await this.#enqueue(async () => {
      if (this.#simulation !== null && this.#report === null) await this.#stop(this.#simulation, interrupted);
    });
    this.#feed?.close(null);
    return this.#report;
  }

  /** Does what a page asks for, when its turn comes. */
  async command(command: Command): Promise<Done> {
    if (this.#queued >= QUEUE_MAX) return refused(409, 'too many commands wait already');
    try {
      const answer = await this.#enqueue(() => this.#do(command));
      return { status: 200, answer: { ok: true, ...answer } };
    } catch (error) {
      if (error instanceof NotNow) return refused(409, error.message);
      if (error instanceof InputError || error instanceof RangeError) return refused(400, error.message);
      return refused(409, error instanceof Error ? error.message : String(error));
    }
  }

  state(): StateMessage {
    const simulation = this.#simulation;
    const plan = simulation?.plan;
    return {
      status: this.#status,
      run: this.#run,
      scenario: plan?.scenario ?? this.#choice.scenario,
      policy: plan?.kernel ?? this.#choice.policy ?? '',
      seed: plan?.seed ?? this.#choice.seed ?? 0,
      actors: plan?.actors.map(({ name, kind, tier, node }) => ({ name, kind, tier, node })) ?? [],
      placement: this.#placement(),
      vms: plan?.vms.map(({ slots }, vm) => ({ vm, pages: pagesOf(slots) })) ?? [],
      knobs: this.#knobs(),
      can: {
        restart: this.#options.owner === 'dashboard',
        step: simulation?.step !== undefined,
        place: simulation?.setWorkers !== undefined,
        memory: simulation?.memoryMap !== undefined,
      },
      end: this.#end,
      note: this.#note,
    };
  }

  frame(vm: number, frame: number): Frame | undefined {
    return this.#feed?.frames.get(vm, frame);
  }

  newestFrame(vm: number): Frame | undefined {
    return this.#feed?.frames.newest(vm);
  }

  /** A guest's page, its history, and with it, when asked, a frame of the same moment; undefined: no such page. */
  page(vm: number, gfn: number, withFrame = false): PageAnswer | undefined {
    const simulation = this.#simulation;
    const slots = simulation?.plan.vms[vm]?.slots;
    if (simulation?.page === undefined || slots === undefined || gfn >= pagesOf(slots)) return undefined;
    const look = withFrame ? (this.#feed?.lookFor(vm) ?? null) : null;
    const at_s = look?.at_s ?? simulation.elapsedSeconds;
    const history = simulation.pageHistory?.(vm, gfn) ?? [];
    return { page: simulation.page(vm, gfn), history, at_s, frame: look?.frame ?? null };
  }

  actors(): readonly ActorNow[] {
    return this.#simulation?.actors?.() ?? [];
  }

  async #do(command: Command): Promise<Omit<CommandAnswer, 'ok'>> {
    switch (command.type) {
      case 'start':
        return this.#start();
      case 'pause':
        return this.#pause();
      case 'resume':
        return this.#resume();
      case 'stop':
        await this.#stop(this.#live(), true);
        return { message: `run ${this.#run} stopped` };
      case 'audit':
        return this.#audit();
      case 'step':
        return this.#step(command.actor, command.steps ?? 1);
      case 'knob':
        return this.#knob(command.name, command.value);
      case 'workers': {
        const simulation = this.#live();
        if (simulation.setWorkers === undefined) throw new NotNow('this run cannot move actors');
        return this.#moved(await simulation.setWorkers(command.count, command.scheme));
      }
      case 'move': {
        const simulation = this.#live();
        if (simulation.moveActor === undefined) throw new NotNow('this run cannot move actors');
        return this.#moved(await simulation.moveActor(this.#actor(command.actor), command.worker));
      }
      case 'restart':
        return this.#restart(command);
      default:
        throw new InputError('not a command');
    }
  }

  async #start(): Promise<{ message: string }> {
    if (this.#status === 'paused' || this.#status === 'stepping') return this.#resume();
    if (this.#status !== 'ended') throw new NotNow(`the run is ${this.#status} already`);
    if (this.#options.owner === 'stress') throw new NotNow('this page belongs to a stress run that has ended');
    await this.#begin(this.#choice);
    return { message: this.#note };
  }

  async #restart(wish: Extract<Command, { type: 'restart' }>): Promise<{ message: string }> {
    if (this.#options.owner === 'stress') {
      throw new NotNow('this page belongs to a stress run; `pinfall dashboard` restarts with other settings');
    }
    const { scenarios, policies } = this.#options;
    if (wish.scenario !== undefined && !scenarios.includes(wish.scenario)) {
      throw new InputError(`scenario: expected one of ${scenarios.join(', ')}`);
    }
    if (wish.policy !== undefined && !policies.includes(wish.policy)) {
      throw new InputError(`policy: expected one of ${policies.join(', ')}`);
    }
    const { scenario = this.#choice.scenario, policy, seed, workers } = wish;
    if (this.#simulation !== null && this.#report === null) await this.#stop(this.#simulation, true);
    await this.#begin({ scenario, policy, seed, workers });
    return { message: this.#note };
  }

  async #begin(choice: RunChoice): Promise<void> {
    this.#status = 'starting';
    this.#say(`starting ${choice.scenario}`);
    try {
      const simulation = await this.#options.start(choice);
      this.#choice = choice;
      this.#feed?.close(null);
      this.watch(simulation);
    } catch (error) {
      this.#status = 'ended';
      this.#say(`not started: ${error instanceof Error ? error.message : String(error)}`);
      throw error;
    }
  }

  async #pause(): Promise<{ message: string }> {
    const simulation = this.#live();
    if (this.#status !== 'running') throw new NotNow(`the run is ${this.#status} already`);
    await simulation.pause();
    this.#standing('paused');
    return { message: 'paused: every worker stands between two steps' };
  }

  async #resume(): Promise<{ message: string }> {
    const simulation = this.#live();
    if (this.#status !== 'paused' && this.#status !== 'stepping') throw new NotNow(`the run is ${this.#status}`);
    if (this.#status === 'stepping') await simulation.stepMode?.(false);
    await simulation.resume();
    this.#status = 'running';
    if (this.#feed !== null) this.#feed.running = true;
    this.#say('running');
    return { message: 'running' };
  }

  async #audit(): Promise<{ message: string }> {
    const found = await this.#live().audit();
    const message = `audit of the whole machine at rest: ${found === 0 ? 'no violation' : `${found} violations`}`;
    this.#say(message);
    return { message };
  }

  async #step(actor: string, steps: number): Promise<Omit<CommandAnswer, 'ok'>> {
    const simulation = this.#live();
    if (simulation.step === undefined) throw new NotNow('this run cannot be stepped');
    const name = this.#actor(actor);
    const lines: string[] = [];
    for (let n = 0; n < steps; n++) {
      const info = await simulation.step(name);
      lines.push(...describeStep(info));
      if (!info.moved) break;
    }
    this.#standing('stepping', `stepped ${name}`);
    this.#feed?.lookAtActors();
    return { message: `stepped ${name}`, lines: lines.slice(-200) };
  }

  async #knob(name: string, value: number): Promise<{ message: string }> {
    const simulation = this.#live();
    const knob = simulation.knobs?.().find((each) => each.name === name);
    if (knob !== undefined && (value < knob.min || value > knob.max)) {
      throw new InputError(`${name}: expected ${knob.min} to ${knob.max}, got ${value}`);
    }
    if (knob?.takes === 'restart') throw new NotNow(`${name} is fixed for this run: it takes a restart`);
    await simulation.setKnob(name, value);
    const message = `${name} = ${value}`;
    this.#say(message);
    return { message };
  }

  #moved(result: MoveResult): { message: string } {
    const { moved, placement, violations, tookMs } = result;
    const audit = violations === 0 ? 'the audit found nothing lost' : `THE AUDIT FOUND ${violations} VIOLATIONS`;
    const who = moved.length === 0 ? 'nobody had to move' : `${moved.join(', ')} moved in ${tookMs.toFixed(0)} ms`;
    const message = `${placement.workers} workers: ${who}; ${audit}`;
    this.#say(message);
    return { message };
  }

  async #stop(simulation: Watched, interrupted: boolean): Promise<void> {
    this.#status = 'stopping';
    this.#say('stopping: actors finish what they do, memory is torn down and audited');
    this.#finish(await simulation.stop(interrupted));
  }

  /** A run that ended by itself: its actors have ended, a dead worker, a hang, or whoever owns it has stopped it. */
  async #over(simulation: Watched): Promise<void> {
    if (this.#simulation === simulation && this.#report === null) this.#finish(await simulation.stop());
  }

  #finish(report: Report): void {
    this.#report = report;
    this.#status = 'ended';
    this.#end = { kind: report.end.kind, detail: report.end.detail ?? '' };
    this.#feed?.close(report);
    this.#say(endedNote(this.#run, report));
  }

  #standing(status: 'paused' | 'stepping', note = 'paused'): void {
    this.#status = status;
    if (this.#feed !== null) {
      this.#feed.running = false;
      this.#feed.lookAtMemory();
      this.#feed.lookAtTotals();
    }
    this.#say(note);
  }

  #live(): Watched {
    if (this.#simulation === null || this.#report !== null) throw new NotNow('no run is under way');
    return this.#simulation;
  }

  #actor(name: string): string {
    const names = this.#live().actorNames;
    if (!names.includes(name)) throw new InputError(`actor: expected one of ${names.join(', ')}`);
    return name;
  }

  #placement(): Placement {
    const simulation = this.#simulation;
    if (simulation === null) return NOWHERE;
    if (simulation.placement !== undefined && this.#report === null) return simulation.placement();
    const threads = (this.#report ?? simulation.reportSoFar()).threads;
    const rows = threads.map(({ threadId, actors }, worker) => ({
      worker,
      threadId,
      form: actors.length === 1 ? ('blocking' as const) : ('coroutines' as const),
      actors,
    }));
    return { workers: rows.length, workersMax: simulation.plan.actors.length, rows };
  }

  #knobs(): readonly KnobInfo[] {
    return this.#report === null ? (this.#simulation?.knobs?.() ?? []) : [];
  }

  #say(note: string): void {
    this.#note = note;
    this.#options.hub.publish('state', this.state());
  }

  #enqueue<T>(job: () => Promise<T>): Promise<T> {
    this.#queued++;
    const result = this.#queue.then(job).finally(() => this.#queued--);
    this.#queue = result.catch(() => {});
    return result;
  }
}

const refused = (status: 400 | 409, message: string): Done => ({ status, answer: { ok: false, message } });

/** Guest pages from gfn 0 on. */
const pagesOf = (slots: readonly { readonly baseGfn: number; readonly pages: number }[]): number =>
  Math.max(0, ...slots.map(({ baseGfn, pages }) => baseGfn + pages));

/** A step as lines for people. */
function describeStep(info: StepInfo): string[] {
  const where = info.stack[0] === undefined ? '' : `  in ${info.stack.join(' < ')}`;
  const lines = info.moved ? [`${info.actor}: ${info.did?.text ?? 'begins'}${where}`] : [];
  lines.push(...info.events.map((event) => `    ${event}`));
  if (info.waits !== null) {
    const holders = info.waits.holders.map((holder) => holder.name).join(', ');
    lines.push(`${info.actor} waits for ${info.waits.what}${holders === '' ? '' : `, held by ${holders}`}`);
  } else lines.push(info.next === null ? `${info.actor} has returned` : `next: ${info.next.text}`);
  return lines;
}
