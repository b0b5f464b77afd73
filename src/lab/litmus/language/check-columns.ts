/** The columns of a litmus file and its set-up: the actors, and their operations in order. */
import { MACHINE_LIMITS } from '../../../machine/config.js';
import type { LitmusPlan } from '../../../plan/plan.js';
import type { ActorDecl, LitmusFile, Who } from './ast.js';
import type { CallChecker } from './check-calls.js';
import { inLimits } from './check-memory.js';
import type { ActorModel, VmModel } from './model.js';
import { nearest } from '../../input/nearest.js';
import type { Scope } from './scope.js';

/** Kernel threads; several of a kind have a number behind their name. */
const DAEMON = /^(ksmd|khugepaged|kswapd|task)\d*$/;
const DAEMON_NAMES = ['ksmd', 'khugepaged', 'kswapd', 'task'];

/** The operation that ends a process. */
const EXIT = 'exit';

/** The first row: who the columns are. */
export function checkActors(scope: Scope, file: LitmusFile): void {
  for (const decl of file.actors) {
    scope.once(decl.name, 'actor', scope.columns);
    const node = decl.node === null ? 0 : inLimits(scope, 'node', decl.node, 0, scope.nodes - 1);
    scope.columns.push({ ...actorOf(scope, decl), node, calls: [] });
  }
  const beyond = file.actors[MACHINE_LIMITS.cpus[1] >> 1];
  if (beyond !== undefined) scope.mistake(beyond.at, `expected at most ${MACHINE_LIMITS.cpus[1] >> 1} columns`);
}

const NOBODY = { process: null, vm: null, task: { mm: -1, vm: -1, vcpu: -1 } } as const;

function actorOf(scope: Scope, { name: word, of }: ActorDecl): ActorModel {
  const name = word.text;
  if (of === null) {
    if (DAEMON.test(name)) return { name, kind: 'daemon', ...NOBODY };
    scope.mistake(word.at, withoutProcess(name));
    return { name, kind: 'unknown', ...NOBODY };
  }
  return memberOf(scope, of, name) ?? { name, kind: 'unknown', ...NOBODY };
}

function withoutProcess(name: string): string {
  if (name.startsWith('el2'))
    return `'${name}' needs no column: EL2 serves hypercalls by itself ('machine el2 N' says how many)`;
  return `expected '${name}@PROCESS' or '${name}@VM'; actors without one are ksmd, khugepaged, kswapd and task`;
}

/** Who `A`, `G` or `G.1` is, or null and a mistake. */
function memberOf(scope: Scope, { name: word, vcpu }: Who, actor: string): ActorModel | null {
  const process = scope.processes.find(({ name }) => name === word.text);
  if (process !== undefined) {
    if (vcpu !== null) scope.mistake(vcpu.at, `'${word.text}' is a process; expected no vCPU number`);
    return { name: actor, kind: 'task', process, vm: null, task: { mm: process.mm, vm: -1, vcpu: -1 } };
  }
  const vm = scope.vms.find(({ name }) => name === word.text);
  if (vm === undefined) {
    scope.unknown(
      word,
      'process or VM',
      [...scope.processes, ...scope.vms].map(({ name }) => name),
    );
    return null;
  }
  return vcpuOf(vm, vcpu === null ? 0 : inLimits(scope, 'vCPU', vcpu, 0, vm.vcpus - 1), actor);
}

const vcpuOf = (vm: VmModel, vcpu: number, name: string): ActorModel => ({
  name,
  kind: 'vcpu',
  process: vm.process,
  vm,
  task: { mm: vm.process.mm, vm: vm.vm, vcpu },
});

/** The operations of set-up. */
export function checkInit(scope: Scope, file: LitmusFile, calls: CallChecker): LitmusPlan['init'] {
  checkExits(scope, file);
  return file.init.flatMap(({ result, who, call }) => {
    const column = scope.columns.findIndex(({ name, kind }) => name === who.name.text && kind === 'task');
    const by = column < 0 ? initActor(scope, who) : (scope.columns[column] as ActorModel);
    if (by === null) return [];
    const made = calls.call(call, result, by, -1, []);
    return made === null ? [] : [{ task: by.task, call: made, ...(column < 0 ? {} : { actor: column }) }];
  });
}

/** A process that set-up ends has nobody who goes on. */
function checkExits(scope: Scope, file: LitmusFile): void {
  const processOf = ({ name }: Who): string => scope.vms.find((vm) => vm.name === name.text)?.process.name ?? name.text;
  file.init.forEach(({ who, call }, i) => {
    if (call.name.text !== EXIT) return;
    const name = who.name.text;
    const later = file.init.slice(i + 1).find((other) => processOf(other.who) === name);
    if (later !== undefined) scope.mistake(later.call.at, `nothing comes after exit(): '${name}' has ended`);
    const column = scope.columns.find(({ process }) => process?.name === name);
    if (column !== undefined) scope.mistake(call.at, `exit() in set-up ends '${name}', of which '${column.name}' is`);
  });
}

function initActor(scope: Scope, who: Who): ActorModel | null {
  const { text: name, at } = who.name;
  const known = [...scope.processes, ...scope.vms].map((each) => each.name);
  if (known.includes(name)) return memberOf(scope, who, name);
  if (DAEMON.test(name)) return { name, kind: 'daemon', ...NOBODY };
  if (nearest(name, known) === null && scope.columns.some((column) => column.name === name)) {
    scope.mistake(
      at,
      `'${name}' is a column, but no task; set-up is done by a process, its tasks, a VM or a kernel thread`,
    );
  } else {
    scope.unknown(who.name, 'process, VM or kernel thread', [...known, ...DAEMON_NAMES]);
  }
  return null;
}

/** The rows below the first. */
export function checkRows(scope: Scope, file: LitmusFile, calls: CallChecker): void {
  const { columns } = scope;
  calls.resultsOfColumns(file.rows.flatMap(({ cells }) => cells.flatMap((cell) => cell?.result?.text ?? [])));
  for (const row of file.rows) {
    if (row.cells.length > columns.length) {
      const beyond = row.cells.slice(columns.length).find((cell) => cell !== null);
      scope.mistake(
        beyond?.at ?? row.at,
        `a row of ${row.cells.length} operations; there ${columns.length === 1 ? 'is 1 actor' : `are ${columns.length} actors`}`,
      );
    }
  }
  columns.forEach((column, index) => {
    const operations = file.rows.flatMap(({ cells }) => cells[index] ?? []);
    if (operations.length === 0) {
      const at = file.actors[index]?.at;
      if (at !== undefined) scope.mistake(at, `'${column.name}' has no operation`);
    }
    const named = operations.flatMap(({ result: word }, i) => (word === null ? [] : [{ i, word }]));
    const last = operations.findIndex(({ call }) => call.name.text === EXIT);
    const behind = last < 0 ? undefined : operations[last + 1];
    if (behind !== undefined) scope.mistake(behind.call.at, `nothing comes after exit(): '${column.name}' has ended`);
    operations.forEach(({ call, result }, i) => {
      while (named[0] !== undefined && named[0].i < i) named.shift();
      const later = named.map(({ word }) => word);
      const made = calls.call(call, result, column, index, later);
      if (made !== null) column.calls.push(made);
    });
  });
}
