/**
 * A plan as a program of the one-thread engine: the simulated kernel, its oracles and its actors on one machine that goes
 * back to its start by one copy.
 *
 * The contexts have quantum 0, so that every schedule point yields; time is the step number and stands still within a step.
 * Clients (and daemons with a number of operations) end by themselves; then daemons that would run on for ever are told
 * to return, then the servers.
 */
import { ACTOR_KINDS } from '../../../actors/index.js';
import { Context, type Coroutine, type EventWriter, type Kernel, mixSeed } from '../../machine/context.js';
import { AccessOrder, type Undeclared } from '../../machine/words/access-order.js';
import { ghostPage, takeTouched, touches, wordsWithGhosts } from '../../machine/words/extra-accesses.js';
import { updates } from '../../machine/effects.js';
import type { Machine } from '../../machine/layout.js';
import { inUseWord } from '../../machine/tlb.js';
import { NO_EVENTS } from '../../events/ring.js';
import { type OracleOptions, type OracleProbe, auditAll, restartAudit } from '../../oracle/index.js';
import { describePage, describeWord } from '../../machine/layout/describe.js';
import { resolveKernel } from '../machine/kernel.js';
import { type FinalState, knownRules, plainState } from './outcome.js';
import type { ActorSpec, Plan } from '../../plan/plan.js';
import { createProbe, oracleOptions } from '../machine/probes.js';
import type { Alarm, Program, StepClock, Waiting } from './program.js';
import type { Violation } from '../../oracle/violation.js';
import { type SetupNotes, primeOracles } from '../machine/litmus-setup.js';
import { MachineImage } from './machine-image.js';
import { heldLocks } from '../machine/report-state.js';
import { prepareWithNotes } from '../machine/setup.js';
import { requester, synchronises } from '../machine/word-roles.js';
import { undeclaredBreach } from './undeclared.js';
import { waitsFor } from '../machine/waits-for.js';

const tierOf = ({ tier, params }: ActorSpec): number => {
  if (tier === 'server') return 2;
  return tier === 'daemon' && !((params['ops'] ?? 0) > 0) ? 1 : 0;
};

export class PlanProgram implements Program {
  readonly name: string;
  readonly plan: Plan;
  readonly actors: readonly string[];
  readonly deep = true;
  readonly machine: Machine;
  readonly words: Int32Array;
  readonly wordsNamed: number;
  readonly clocks: StepClock[] = [];
  readonly #contexts: Context[] = [];
  /** The oracles, and where they announce a broken rule; who extends this may announce more. */
  readonly probe: OracleProbe;
  alarm: Alarm;
  readonly order: AccessOrder;
  readonly #kernel: Kernel;
  readonly #oracles: OracleOptions;
  readonly #image: MachineImage;
  readonly #notes: SetupNotes;
  #events: EventWriter = NO_EVENTS;
  /** By actor: its CPU's in-use word, when it was last looked at. */
  readonly #inUse: Int32Array;

  /** @throws RangeError when the plan cannot be set up: too little memory, an unknown actor or kernel */
  constructor(plan: Plan) {
    this.name = plan.scenario;
    this.plan = plan;
    this.actors = plan.actors.map(({ name }) => name);
    const { machine, notes } = prepareWithNotes(plan);
    this.machine = machine;
    this.#notes = notes;
    this.words = this.machine.words;
    this.wordsNamed = wordsWithGhosts(machine);
    this.#image = new MachineImage(machine);
    this.#kernel = resolveKernel(plan.kernel);
    this.#oracles = oracleOptions(plan, 'one');
    this.#inUse = new Int32Array(plan.actors.length);
    this.order = new AccessOrder(this.words, plan.actors.length, touches);
    this.probe = createProbe(this.machine, plan, 'one', null);
    this.alarm = this.probe;
  }

  tierOf(actor: number): number {
    return tierOf(this.#spec(actor));
  }

  reset(variation: number): void {
    const { machine, plan } = this;
    this.#image.restore(this.words);
    this.probe.reset();
    const seed = variation === 0 ? plan.seed : mixSeed(plan.seed, variation);
    for (let actor = 0; actor < plan.actors.length; actor++) {
      const { node } = this.#spec(actor);
      const before = this.#contexts[actor] ?? null;
      const ctx = new Context(machine, this.#kernel, this.probe, this.#events, actor, node, seed, undefined, before);
      ctx.tick = 0;
      this.#contexts[actor] = ctx;
      this.clocks[actor] = ctx.task;
    }
    if (plan.litmus === undefined) return;
    primeOracles(machine, this.#context(0), this.probe, this.#notes);
    restartAudit(machine, this.#oracles);
  }

  start(actor: number): Coroutine<void> {
    const spec = this.#spec(actor);
    const main = ACTOR_KINDS[spec.kind];
    if (main === undefined) throw new RangeError(`actor ${spec.name}: no kind ${spec.kind}`);
    return main(this.#context(actor), spec, this.plan);
  }

  waitValue(actor: number): number {
    return this.#context(actor).waitValue;
  }

  finish(tier: number): void {
    for (let actor = 0; actor < this.plan.actors.length; actor++) {
      if (this.tierOf(actor) === tier) this.#context(actor).finish = true;
    }
  }

  endAtKnownWindows(): void {
    const { alarm } = this;
    this.alarm = {
      get violations(): readonly Violation[] {
        return [...alarm.violations, ...(alarm.knownWindows ?? [])];
      },
      get knownWindows(): readonly Violation[] {
        return alarm.knownWindows ?? [];
      },
    };
  }

  /** Content and words glanced at; and the CPU's in-use word, which accesses enter and leave on their way. */
  touchedBeside(actor: number, effects: Int32Array, before: Int32Array): number {
    let count = takeTouched(effects, before);
    const word = inUseWord(this.machine, actor);
    const was = this.#inUse[actor] as number;
    const now = this.words[word] as number;
    this.#inUse[actor] = now;
    if (now === was || count >= effects.length) return count;
    before[count] = was;
    effects[count++] = updates(word);
    return count;
  }

  /** Another one like it, whatever else a program made of this plan asks. */
  again(): PlanProgram {
    return new PlanProgram(this.plan);
  }

  undeclared(found: Undeclared, choices: Uint8Array, variation: number): Violation {
    return undeclaredBreach(this, found, choices, variation);
  }

  retryLoop(actor: number): number {
    return this.#context(actor).task.loops;
  }

  recordEvents(to: EventWriter | null): boolean {
    this.#events = to ?? NO_EVENTS;
    return true;
  }

  audit(): readonly Violation[] {
    return auditAll(this.machine, this.#oracles, [], [this.probe]);
  }

  observe(): number {
    return this.probe.knownWindows.length === 0 ? 0 : 1;
  }

  finalState(_observation = 0): FinalState {
    return plainState('', knownRules(this.probe.knownWindows));
  }

  describe(word: number): string {
    const page = ghostPage(this.machine, word);
    if (page >= 0) return describePage(this.machine, page);
    return describeWord(this.machine, word);
  }

  synchronises(word: number): boolean {
    return synchronises(this.machine, word);
  }

  requester(word: number): number {
    return requester(this.machine, word);
  }

  heldLocks(actor: number): readonly string[] {
    return heldLocks(this.machine, actor).map(({ name }) => name);
  }

  explain(waiting: readonly Waiting[]): readonly string[] {
    return waitsFor(this.machine, this.plan, waiting).lines;
  }

  #spec(actor: number): ActorSpec {
    return this.plan.actors[actor] as ActorSpec;
  }

  #context(actor: number): Context {
    return this.#contexts[actor] as Context;
  }
}
