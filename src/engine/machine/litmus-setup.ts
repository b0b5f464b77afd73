/**
 * The set-up of a litmus test: its operations are done one after the other on the machine that the runs begin with, by a
 * task on CPU 0 and the plan's EL2 instances, while nobody else runs. What the oracles must know of it is written down, since their
 * ledgers begin with each run.
 */
import { ACTOR_KINDS } from '../../../actors/index.js';
import { litmusCall } from '../../../actors/litmus/litmus.js';
import { UNSET, setRegister } from '../../../actors/litmus/registers.js';
import { Context, type Coroutine, Probe } from '../../machine/context.js';
import { entryPfn, isPresent, isSwapEntry } from '../../machine/entries.js';
import {
  HDR_REGISTERS,
  HDR_STORE_BUFFER,
  LITMUS_REGISTERS,
  type Machine,
  PAGE_CONTENT,
  STATS_WORDS,
  VCPU_ENTERED,
  actorWord,
  pageWord,
  statsBase,
  tlbBase,
  vcpuWord,
} from '../../machine/layout.js';
import { NO_EVENTS } from '../../events/ring.js';
import type { OracleProbe } from '../../oracle/index.js';
import { ZERO_PFN } from '../../mm/folio.js';
import { entryAt, pfnOfEntry, swappedContent } from '../../oracle/view.js';
import { look as peek } from '#words';
import { Driven, Stuck, runToEnd } from './driven.js';
import { resolveKernel } from './kernel.js';
import type { LitmusTask } from '../../plan/litmus.js';
import type { LitmusPlan, Plan } from '../../plan/plan.js';

/** What set-up leaves that no word of the machine tells. */
export interface SetupNotes {
  /** Pins that were not released: process, page, frame. */
  readonly pins: readonly (readonly [mm: number, vpn: number, pfn: number])[];
  /** Frames of FOLL_GET references that were not given back, one for each. */
  readonly held: readonly number[];
}

export const NO_NOTES: SetupNotes = { pins: [], held: [] };

/** Writes down who pins what. */
class PinNotes extends Probe {
  readonly pins: [number, number, number][] = [];
  readonly held: number[] = [];

  override onHeld(_ctx: Context, pfn: number, delta: number): void {
    if (delta > 0) this.held.push(pfn);
    else this.held.splice(this.held.indexOf(pfn), 1);
  }

  override onPinned(_ctx: Context, mm: number, vpn: number, pfn: number): void {
    this.pins.push([mm, vpn, pfn]);
  }

  override onUnpin(_ctx: Context, pfn: number): void {
    const at = this.pins.findIndex(([, , pinned]) => pinned === pfn);
    if (at >= 0) this.pins.splice(at, 1);
  }
}

/**
 * Does the operations of `plan.litmus.init` on `m`. All counters are zero after it, and TLBs empty but for those of actors that did some.
 * @throws RangeError when one of them waits for what nobody will change
 */
export function runLitmusSetup(m: Machine, plan: Plan, litmus: LitmusPlan): SetupNotes {
  m.words.fill(UNSET, HDR_REGISTERS, HDR_REGISTERS + LITMUS_REGISTERS);
  const probe = new PinNotes();
  const kernel = resolveKernel(plan.kernel);
  const contextOf = (actor: number, node: number): Context => {
    const ctx = new Context(m, kernel, probe, NO_EVENTS, actor, node, plan.seed);
    ctx.tick = 0;
    return ctx;
  };
  // on node 0, wherever the first column is: a test's pages lie there unless it says otherwise
  const ctx = contextOf(0, 0);
  const servers = plan.actors.flatMap((spec, actor) => {
    const start = ACTOR_KINDS[spec.kind];
    if (spec.tier !== 'server' || start === undefined) return [];
    const own = contextOf(actor, spec.node ?? 0);
    return [new Driven(own, start(own, spec, plan))];
  });
  const warm = new Map<number, Context>();
  for (const { task, call, actor } of litmus.init) {
    const own = actor === undefined ? ctx : (warm.get(actor) ?? contextOf(actor, plan.actors[actor]?.node ?? 0));
    if (actor !== undefined) warm.set(actor, own);
    finishCall(own, doCall(own, task, call.op, call.args, call.result), servers);
  }
  for (const { ctx: own } of servers) own.finish = true;
  const tlbs = [...warm.keys()].map((cpu) => [tlbBase(m, cpu), tlbBase(m, cpu + 1)] as const);
  const kept = tlbs.map(([from, to]) => m.words.slice(from, to));
  quiet(m, plan);
  tlbs.forEach(([from], i) => m.words.set(kept[i] as Int32Array, from));
  if (plan.actors.some(({ kind }) => kind === 'store-buffer')) m.words[HDR_STORE_BUFFER] = 1;
  return { pins: probe.pins, held: probe.held };
}

/** An operation that waits for ever is the file's mistake, not ours. */
function finishCall(ctx: Context, call: Coroutine<void>, servers: readonly Driven[]): void {
  try {
    runToEnd(ctx, call, 'it', servers);
  } catch (error) {
    throw error instanceof Stuck ? new RangeError(error.message) : error;
  }
}

function* doCall(ctx: Context, task: LitmusTask, op: number, args: readonly number[], result: number): Coroutine<void> {
  const { vm, vcpu } = task;
  setRegister(ctx, result, yield* litmusCall(ctx, task, op, args));
  // vCPUs are loaded anew by their own actors
  if (vm >= 0 && peek(ctx.words, vcpuWord(ctx.m, vm, vcpu, VCPU_ENTERED)) !== 0) {
    yield* ctx.kernel.vcpuPut(ctx, vm, vcpu);
  }
}

/** What set-up did is nobody's doing: counters at zero, no actor has a past, no CPU remembers a translation. Who has worked on his own CPU gets his back. */
function quiet(m: Machine, plan: Plan): void {
  m.words.fill(0, m.tlbsAt, m.nodesAt);
  for (let actor = 0; actor < plan.actors.length; actor++) {
    m.words.fill(0, statsBase(m, actor), statsBase(m, actor) + STATS_WORDS);
    m.words.fill(0, actorWord(m, actor, 0), actorWord(m, actor + 1, 0));
  }
}

/** Tells the oracles of a run that begins what set-up has left: the contents of all mapped pages, and the pins. */
export function primeOracles(m: Machine, ctx: Context, probe: OracleProbe, notes: SetupNotes): void {
  for (let mm = 0; mm < m.mms; mm++) {
    for (let vpn = 0; vpn < m.mmPages; vpn++) {
      const entry = entryAt(m, mm, vpn);
      if (isSwapEntry(entry)) probe.knows(ctx, mm, vpn, ZERO_PFN, swappedContent(m, entryPfn(entry)));
      if (!isPresent(entry)) continue;
      const pfn = pfnOfEntry(m, entry, vpn);
      probe.knows(ctx, mm, vpn, pfn, peek(m.words, pageWord(m, pfn, PAGE_CONTENT)));
    }
  }
  for (const [mm, vpn, pfn] of notes.pins) probe.keepsPin(ctx, mm, vpn, pfn);
  for (const pfn of notes.held) probe.onHeld(ctx, pfn, 1);
}
