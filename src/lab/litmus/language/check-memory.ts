/** Processes, guests and frames of a litmus file: where each mapping and slot lies. */
import {
  KVM_MEM_LOG_DIRTY_PAGES,
  KVM_MEM_READONLY,
  VM_DONTCOPY,
  VM_EXEC,
  VM_HUGEPAGE,
  VM_IO,
  VM_LOCKED,
  VM_MAYWRITE,
  VM_MERGEABLE,
  VM_NOHUGEPAGE,
  VM_NUMA_BOUND,
  VM_PFNMAP,
  VM_READ,
  VM_SHARED,
  VM_WRITE,
  sharedFlags,
} from '../../../machine/abi.js';
import { MACHINE_LIMITS } from '../../../machine/config.js';
import { MEMSLOTS_MAX, VCPUS_MAX } from '../../../machine/layout.js';
import type { LitmusFile, MappingDecl, ProcessDecl, SlotDecl, VmDecl, Whole, Word } from './ast.js';
import type { MappingModel, ProcessModel, SlotModel, VmModel } from './model.js';
import type { Scope } from './scope.js';

const MAPPING_FLAGS: Readonly<Record<string, number>> = {
  read: VM_READ,
  write: VM_WRITE,
  exec: VM_EXEC,
  mergeable: VM_MERGEABLE,
  hugepage: VM_HUGEPAGE,
  nohugepage: VM_NOHUGEPAGE,
  locked: VM_LOCKED,
  dontcopy: VM_DONTCOPY,
  'numa-bound': VM_NUMA_BOUND,
  unmapped: 0,
};
const KIND_FLAGS = { anon: VM_MAYWRITE, shared: VM_SHARED | VM_MAYWRITE, pfnmap: VM_PFNMAP | VM_IO | VM_MAYWRITE };
const SLOT_FLAGS: Readonly<Record<string, number>> = {
  'read-only': KVM_MEM_READONLY,
  'log-dirty-pages': KVM_MEM_LOG_DIRTY_PAGES,
  pinned: 0,
  unset: 0,
};
/** Pages of one mapping. */
const PAGES_MAX = 1 << 14;

/** Lays out processes and guests into the scope. @param thpOrder log2 of the pages of a huge page */
export function checkMemory(scope: Scope, file: LitmusFile, thpOrder: number): void {
  const objects: string[] = [];
  for (const decl of file.processes) {
    scope.once(decl.name, 'process', scope.processes);
    scope.processes.push(processOf(scope, decl, scope.processes.length, thpOrder, objects));
  }
  limit(scope, file.processes[MACHINE_LIMITS.mms[1]]?.name, `expected at most ${MACHINE_LIMITS.mms[1]} processes`);
  inherit(scope, file);
  for (const decl of file.vms) {
    scope.once(decl.name, 'VM', scope.vms);
    const clash = scope.processes.some(({ name }) => name === decl.name.text);
    if (clash) scope.mistake(decl.name.at, `'${decl.name.text}' is a process already; a VM needs a name of its own`);
    const vm = vmOf(scope, decl, scope.vms.length);
    if (vm !== null) scope.vms.push(vm);
  }
  limit(scope, file.vms[MACHINE_LIMITS.vms[1]]?.name, `expected at most ${MACHINE_LIMITS.vms[1]} VMs`);
}

function limit(scope: Scope, beyond: Word | undefined, message: string): void {
  if (beyond !== undefined) scope.mistake(beyond.at, `${message}, got one more`);
}

/** A whole number within limits. */
export function inLimits(scope: Scope, what: string, number: Whole, low: number, high: number): number {
  if (number.value >= low && number.value <= high) return number.value;
  scope.mistake(number.at, `${what}: expected ${low} to ${high}, got ${number.value}`);
  return Math.min(Math.max(number.value, low), high);
}

function processOf(
  scope: Scope,
  { name, memlock, mappings }: ProcessDecl,
  mm: number,
  thpOrder: number,
  objects: string[],
): ProcessModel {
  const laid: MappingModel[] = [];
  let next = 0;
  for (const decl of mappings) {
    scope.once(decl.name, `mapping of process ${name.text}`, laid);
    const mapping = mappingOf(scope, decl, next, objects);
    laid.push(mapping);
    next = ((next + mapping.pages + (1 << thpOrder) - 1) >> thpOrder) << thpOrder;
  }
  return {
    name: name.text,
    mm,
    memlock: memlock === null ? -1 : inLimits(scope, 'memlock', memlock, 0, 1 << 20),
    mappings: laid,
    empty: mappings.length === 0,
    parent: null,
  };
}

function mappingOf(scope: Scope, decl: MappingDecl, start: number, objects: string[]): MappingModel {
  const { name, kind, object, flags } = decl;
  const pages = inLimits(scope, 'pages', decl.pages, 1, PAGES_MAX);
  const bits = flagBits(scope, flags, 'mapping flag', MAPPING_FLAGS) | KIND_FLAGS[kind];
  const number = object === null ? -1 : numberOf(objects, object.text);
  return {
    name: name.text,
    kind,
    start,
    pages,
    flags: number < 0 ? bits : sharedFlags(number, bits),
    object: number,
    unmapped: flags.some(({ text }) => text === 'unmapped'),
  };
}

function numberOf(names: string[], name: string): number {
  const at = names.indexOf(name);
  return at >= 0 ? at : names.push(name) - 1;
}

function flagBits(scope: Scope, words: readonly Word[], what: string, known: Readonly<Record<string, number>>): number {
  let bits = 0;
  words.forEach((word, i) => {
    const bit = Object.hasOwn(known, word.text) ? known[word.text] : undefined;
    if (bit === undefined) scope.unknown(word, what, Object.keys(known));
    else if (words.slice(0, i).some(({ text }) => text === word.text)) scope.mistake(word.at, `'${word.text}' twice`);
    else bits |= bit;
  });
  return bits;
}

/** Who is forked into by whom: its pages have its parent's names. */
function inherit(scope: Scope, file: LitmusFile): void {
  const calls = [
    ...file.init.map(({ who, call }) => ({ who: who.name.text, call })),
    ...file.rows.flatMap(({ cells }) =>
      cells.map((cell, column) => ({ who: file.actors[column]?.of?.name.text, call: cell?.call })),
    ),
  ];
  for (const { who, call } of calls) {
    if (call?.name.text !== 'fork') continue;
    const [target] = call.args;
    const parent = scope.processes.find(({ name }) => name === who);
    const child = scope.processes.find(({ name }) => target?.kind === 'page' && name === target.name.text);
    if (parent === undefined || child === undefined) continue;
    if (!child.empty || child === parent) {
      scope.mistake(call.args[0]?.at ?? call.at, `expected an empty process ('process ${child.name};') to fork into`);
    } else if (child.parent !== null && child.parent !== parent) {
      scope.mistake(call.at, `process ${child.parent.name} forks into ${child.name} as well; expected one parent`);
    } else {
      child.parent = parent;
      child.mappings = parent.mappings;
    }
  }
}

function vmOf(scope: Scope, decl: VmDecl, vm: number): VmModel | null {
  const process = scope.named(decl.process, 'process', scope.processes);
  if (process === null) return null;
  const slots: SlotModel[] = [];
  for (const slot of decl.slots) {
    const made = slotOf(scope, slot, process, slots);
    if (made !== null) slots.push(made);
  }
  return {
    name: decl.name.text,
    vm,
    process,
    vcpus: decl.vcpus === null ? 1 : inLimits(scope, 'vcpus', decl.vcpus, 1, VCPUS_MAX),
    protected: decl.words.some(({ text }) => text === 'protected'),
    unborn: decl.words.some(({ text }) => text === 'unborn'),
    slots,
  };
}

function slotOf(scope: Scope, decl: SlotDecl, process: ProcessModel, before: readonly SlotModel[]): SlotModel | null {
  const id = inLimits(scope, 'slot', decl.id, 0, MEMSLOTS_MAX - 1);
  if (before.some((slot) => slot.id === decl.id.value)) scope.mistake(decl.id.at, `a second slot ${decl.id.value}`);
  const gfn = inLimits(scope, 'gfn', decl.gfn, 0, PAGES_MAX);
  const pages = inLimits(scope, 'pages', decl.pages, 1, PAGES_MAX);
  const flags = flagBits(scope, decl.flags, 'slot flag', SLOT_FLAGS);
  const [pinned = false, unset = false] = ['pinned', 'unset'].map((flag) =>
    decl.flags.some(({ text }) => text === flag),
  );
  const by = { name: 'the VM', kind: 'task', process, vm: null, task: { mm: process.mm, vm: -1, vcpu: -1 } } as const;
  const page = scope.page(decl.page, by);
  if (page === null) return null;
  const { mapping } = page;
  const left = mapping.start + mapping.pages - page.start;
  if (pages > left) {
    scope.mistake(decl.pages.at, `the slot has ${pages} pages, but '${mapping.name}' ends after ${left} of them`);
    return null;
  }
  const over = before.find((slot) => !unset && !slot.unset && gfn < slot.gfn + slot.pages && slot.gfn < gfn + pages);
  if (over !== undefined) scope.mistake(decl.gfn.at, `gfn ${gfn} to ${gfn + pages - 1} overlap slot ${over.id}`);
  return { id, gfn, pages, vpn: page.start, flags, pinned, unset };
}

export interface FramesModel {
  readonly unpinnable: readonly (readonly [number, number])[];
  readonly nomap: readonly (readonly [number, number])[];
}

/** The `unpinnable` and `nomap` lines. @param frames of the machine */
export function checkFrames(scope: Scope, file: LitmusFile, frames: number, thpOrder: number): FramesModel {
  const ranges = (kind: 'unpinnable' | 'nomap'): (readonly [number, number])[] =>
    file.frames.flatMap((decl) => {
      if (decl.kind !== kind) return [];
      const from = inLimits(scope, kind, decl.from, kind === 'unpinnable' ? 0 : 1, frames - 1);
      const end = (decl.to === null ? from : inLimits(scope, kind, decl.to, from, frames - 1)) + 1;
      const huge = 1 << thpOrder;
      if (kind === 'unpinnable' && (from % huge !== 0 || end % huge !== 0)) {
        scope.mistake(decl.from.at, `expected whole huge pages of ${huge} frames, got ${from}..${end - 1}`);
      }
      return [[from, end] as const];
    });
  return { unpinnable: ranges('unpinnable'), nomap: ranges('nomap') };
}
