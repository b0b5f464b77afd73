/** From a litmus file to a plan: the machine sized from the test, one CPU for each actor, EL2 instances where the policy has an EL2. */
import { litmusOperation } from '../../../actors/litmus/operations.js';
import { Machine, STORE_BUFFERS } from '../../machine/layout.js';
import { claimsOf } from '../../engine/machine/kernel.js';
import type { ActorSpec, LitmusPlan, Plan } from '../../plan/plan.js';
import { InputError } from '../../errors/errors.js';
import { findKnobs } from '../scenario/find-knobs.js';
import type { LitmusFile, LitmusFile as Source } from './language/ast.js';
import { CallChecker } from './language/check-calls.js';
import { checkActors, checkInit, checkRows } from './language/check-columns.js';
import { type HeaderModel, type LitmusOverrides, checkHeader } from './language/check-header.js';
import { type FramesModel, checkFrames, checkMemory } from './language/check-memory.js';
import { QuestionChecker } from './language/check-questions.js';
import type { Observable, Predicate, Question } from './language/conditions.js';
import type { Expectation, VmModel } from './language/model.js';
import { MISTAKES_MAX, type Mistake, parseCondition, parseLitmus, sorted } from './language/parse.js';
import { Scope } from './language/scope.js';

/** A litmus test that can run. */
export interface LitmusTest {
  readonly name: string;
  readonly sentence: string;
  readonly plan: Plan;
  readonly questions: readonly Question[];
  /** What final states are told apart by. */
  readonly observables: readonly Observable[];
  readonly expect: Expectation | null;
  readonly stepsMax: number;
  /** Pages by name, in the order of the file, for frames in reports: `a`, `a[1]`, `B.a`. */
  readonly pages: readonly { readonly text: string; readonly mm: number; readonly vpn: number }[];
  /** What `explain` looks for. */
  readonly wanted: Wanted | null;
  /** As it was read. */
  readonly source: Source;
}

export interface CompileOptions extends LitmusOverrides {
  readonly seed?: number | undefined;
  /**
   * A part of a final state's text, or a condition in parentheses: schedules that end so count as finds (`explain`). Questions
   * are then not judged.
   */
  readonly outcome?: string | undefined;
}

/** A part of a final state's text, or what holds in it. */
export type Wanted = { readonly text: string } | { readonly predicate: Predicate };

/** Either the test, or at least one mistake. */
export interface Compiled {
  readonly test: LitmusTest | null;
  readonly mistakes: readonly Mistake[];
}

/** Reads and checks the text of a litmus file. */
export function compileLitmus(text: string, options: CompileOptions = {}): Compiled {
  const { file, mistakes } = parseLitmus(text);
  return file === null ? { test: null, mistakes } : checkLitmus(file, options);
}

/** Looks up everything that a file names. */
function checkLitmus(file: LitmusFile, options: CompileOptions = {}): Compiled {
  const scope = new Scope();
  const header = checkHeader(scope, file, options);
  scope.nodes = header.machine.nodes >= 0 ? header.machine.nodes : nodesNamed(file);
  checkMemory(scope, file, header.machine.thp_order);
  scope.frames = framesOf(header, scope.nodes);
  const frames = checkFrames(scope, file, scope.frames, header.machine.thp_order);
  checkActors(scope, file);
  const calls = new CallChecker(scope);
  const init = [...checkInit(scope, file, calls), ...poison(scope, file)];
  checkRows(scope, file, calls);
  const failAllocation = checkInjects(scope, header);
  const asked = new QuestionChecker(scope, calls);
  const questions = file.questions.map((question) => asked.question(question));
  if (scope.mistakes.length > 0) return { test: null, mistakes: sorted(scope.mistakes).slice(0, MISTAKES_MAX) };
  const columns = scope.columns.map(({ task, calls: done }) => ({ task, calls: done }));
  const litmus: LitmusPlan = { init, columns, registers: calls.registers, failAllocation };
  const plan = planOf(file, scope, header, frames, litmus, options.seed ?? 1);
  const problem = misfit(plan);
  if (problem !== null) {
    const { line, column, endLine, endColumn } = (file.headers.find(({ kind }) => kind === 'machine') ?? file.name).at;
    return { test: null, mistakes: [{ line, column, endLine, endColumn, message: problem }] };
  }
  const test: LitmusTest = {
    name: file.name.text,
    sentence: file.sentence,
    plan,
    questions,
    observables: asked.observables,
    expect: header.expect,
    stepsMax: header.stepsMax,
    pages: pagesOf(scope),
    wanted: options.outcome === undefined ? null : wantedOf(options.outcome, scope, asked),
    source: file,
  };
  return { test, mistakes: [] };
}

const framesOf = ({ machine }: HeaderModel, nodes: number): number => {
  const huge = 1 << machine.thp_order;
  return Math.ceil(machine.frames / huge) * huge * nodes;
};

/** @throws InputError for a condition with a mistake */
function wantedOf(outcome: string, scope: Scope, asked: QuestionChecker): Wanted {
  if (!outcome.startsWith('(')) return { text: outcome };
  const { condition, mistakes } = parseCondition(outcome);
  const predicate = condition === null ? null : asked.condition(condition);
  const [mistake] = [...mistakes, ...scope.mistakes];
  if (mistake !== undefined) throw new InputError(`--outcome:${mistake.column}: ${mistake.message}`);
  return { predicate: predicate as Predicate };
}

/** One more than the highest node that a column or a `migrate` names. */
function nodesNamed(file: LitmusFile): number {
  const calls = [
    ...file.init.map(({ call }) => call),
    ...file.rows.flatMap(({ cells }) => cells.flatMap((cell) => cell?.call ?? [])),
  ];
  const moved = calls.flatMap(({ name, args }) => {
    const to = name.text === 'migrate' ? args[1] : undefined;
    return to?.kind === 'number' && to.value < 8 ? [to.value] : [];
  });
  const placed = file.actors.flatMap(({ node }) => (node === null || node.value >= 8 ? [] : [node.value]));
  return Math.max(0, ...moved, ...placed) + 1;
}

/** `poison a[0];` is the last thing that set-up does. */
function poison(scope: Scope, file: LitmusFile): LitmusPlan['init'] {
  const op = litmusOperation('poison');
  return file.frames.flatMap((decl) => {
    if (decl.kind !== 'poison') return [];
    const page = scope.page(decl.page, null);
    return page === null
      ? []
      : [{ task: { mm: -1, vm: -1, vcpu: -1 }, call: { op, args: [page.mm, page.start], result: -1 } }];
  });
}

function checkInjects(scope: Scope, header: HeaderModel): number[] {
  const failing = scope.columns.map(() => 0);
  for (const { actor, nth } of header.injects) {
    const found = scope.named(actor, 'actor', scope.columns);
    if (found === null) continue;
    const index = scope.columns.indexOf(found);
    if (failing[index] !== 0) scope.mistake(actor.at, `a second fault of '${actor.text}'`);
    failing[index] = nth;
  }
  return failing;
}

const PLAIN_WRITE = litmusOperation('plain_write');

function actorsOf(scope: Scope, header: HeaderModel): ActorSpec[] {
  const actors = scope.columns.map(({ name, node, task }, column): ActorSpec => ({
    name,
    kind: 'litmus',
    tier: 'client',
    node,
    params: { column, mm: task.mm, vm: task.vm, vcpu: task.vcpu },
  }));
  // real threads have buffers of their own (threads/run.ts leaves these out, so they are the last)
  const buffers = (header.machine.store_buffer === 0 ? [] : scope.columns).map(
    ({ name, node, calls }, cpu): ActorSpec => ({
      name: `${name}-buffer`,
      kind: 'store-buffer',
      tier: 'client',
      node,
      params: { cpu, stores: calls.filter(({ op }) => op === PLAIN_WRITE).length },
    }),
  );
  if (!claimsOf(header.kernel).el2) return [...actors, ...buffers];
  const said = header.machine.el2;
  const instances = said === 0 ? actors.length : said;
  const servers = Array.from({ length: instances }, (_, i): ActorSpec => ({
    name: `el2-${i}`,
    kind: 'el2',
    tier: 'server',
    node: actors[i]?.node ?? 0,
    params: {},
  }));
  return [...actors, ...servers, ...buffers];
}

const TLB_ENTRIES_MAX = 64;

function swapsOut({ init, columns }: LitmusPlan): boolean {
  const op = litmusOperation('swap_out');
  return init.some(({ call }) => call.op === op) || columns.some(({ calls }) => calls.some((call) => call.op === op));
}

function planOf(
  file: LitmusFile,
  scope: Scope,
  { kernel, machine, knobs, thpEnabled, fix }: HeaderModel,
  frames: FramesModel,
  litmus: LitmusPlan,
  seed: number,
): Plan {
  const actors = actorsOf(scope, { kernel, machine } as HeaderModel);
  const { processes, vms } = scope;
  const end = Math.max(0, ...processes.flatMap(({ mappings }) => mappings.map(({ start, pages }) => start + pages)));
  const guestEnd = Math.max(0, ...vms.flatMap(({ slots }) => slots.map(({ gfn, pages }) => gfn + pages)));
  const mappings = Math.max(0, ...processes.map((process) => process.mappings.length));
  const shared = processes.flatMap((process) => process.mappings.filter(({ object }) => object >= 0));
  return {
    scenario: file.name.text,
    machine: {
      nodes: scope.nodes,
      framesPerNode: machine.frames,
      thpOrder: machine.thp_order,
      cpus: actors.length,
      cpuNodes: actors.map(({ node }) => node),
      mms: Math.max(1, processes.length),
      mmPages: Math.max(2, end),
      vmasPerMm: Math.min(250, 4 + 3 * mappings),
      vms: vms.length,
      vmPages: guestEnd,
      tlbEntries: Math.max(2, Math.min(TLB_ENTRIES_MAX, Math.max(end, guestEnd))),
      pcpBatch: 1,
      lruBatch: machine.lru_batch,
      ...(shared.length === 0
        ? {}
        : {
            objects: 1 + Math.max(...shared.map(({ object }) => object)),
            objectPages: Math.max(...shared.map(({ pages }) => pages)),
          }),
      // a device that nothing is swapped to would only cost steps
      swapSlots: swapsOut(litmus) ? machine.swap : 0,
    },
    kernel,
    seed,
    actors,
    mappings: processes.flatMap(({ mm, parent, mappings: own }) =>
      parent === null
        ? own.flatMap(({ start, pages, flags, unmapped }) => (unmapped ? [] : [{ mm, start, pages, flags }]))
        : [],
    ),
    vms: vms.map((vm) => ({
      mm: vm.process.mm,
      vcpus: vm.vcpus,
      protected: vm.protected,
      unborn: vm.unborn,
      slots: vm.slots
        .filter(({ unset }) => !unset)
        .map(({ id, gfn, pages, vpn, flags }) => ({ id, baseGfn: gfn, pages, vpn, flags })),
      pinRange: pinRange(vm),
    })),
    memlockPages: processes.length === 0 ? [-1] : processes.map(({ memlock }) => memlock),
    driverSubscriber: false,
    knobs: {
      ksmSmartScan: knobs.ksm_smart_scan !== 0,
      ksmUseZeroPages: knobs.ksm_use_zero_pages !== 0,
      thpEnabled,
      maxPtesNone: knobs.max_ptes_none,
      ...(knobs.thp_use_zero_page === 0 ? {} : { thpUseZeroPage: true }),
      ...(knobs.file_objects === 0 ? {} : { fileObjects: true }),
      ...findKnobs(knobs.tlbbatch !== 0, fix, knobs.migrate_passes === 10 ? undefined : knobs.migrate_passes),
    },
    poisonedFrames: [],
    unpinnableFrames: frames.unpinnable,
    noMapFrames: frames.nomap,
    oracles: 'all',
    recording: null,
    litmus,
  };
}

/** The guest pages that policy pinned-notifiers keeps pinned: from the first page of a slot that says so to the last. */
function pinRange({ slots }: VmModel): readonly [number, number] | undefined {
  const pinned = slots.filter((slot) => slot.pinned && !slot.unset);
  if (pinned.length === 0) return undefined;
  const first = Math.min(...pinned.map(({ gfn }) => gfn));
  return [first, Math.max(...pinned.map(({ gfn, pages }) => gfn + pages)) - first];
}

/** Why there can be no such machine, or null. */
function misfit(plan: Plan): string | null {
  if (plan.actors.filter(({ kind }) => kind === 'store-buffer').length > STORE_BUFFERS) {
    return `store_buffer: expected at most ${STORE_BUFFERS} columns`;
  }
  try {
    // lays it out, without its memory
    void new Machine(plan.machine, new SharedArrayBuffer(0)).totalWords;
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

const pagesOf = (scope: Scope): LitmusTest['pages'] =>
  scope.processes.flatMap(({ name, mm, mappings, parent }) =>
    mappings.flatMap((mapping) => {
      const shared =
        parent !== null ||
        scope.processes.some(
          (other) =>
            other.mm !== mm && other.parent === null && other.mappings.some((each) => each.name === mapping.name),
        );
      const owner = shared ? `${name}.` : '';
      return Array.from({ length: mapping.pages }, (_, i) => ({
        text: `${owner}${mapping.name}${mapping.pages === 1 ? '' : `[${i}]`}`,
        mm,
        vpn: mapping.start + i,
      }));
    }),
  );
