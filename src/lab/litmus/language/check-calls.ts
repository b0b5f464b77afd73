/** Operations of a litmus file, in columns and in set-up: who does them, with what, and where the result goes. */
import { LITMUS_OPERATIONS, LITMUS_WORDS, litmusOperation } from '../../../../actors/litmus/operations.js';
import type { LitmusOperation, LitmusParam } from '../../../../actors/litmus/row.js';
import { LITMUS_REGISTERS, SCRATCH_WORDS } from '../../../machine/layout.js';
import type { LitmusCall } from '../../../plan/litmus.js';
import type { Argument, CallExpr, PageRef, Span, Word } from './ast.js';
import type { ActorModel, VmModel } from './model.js';
import { type Scope, pageText } from './scope.js';
import { RESERVED_WORDS } from './values.js';

const WHOM = {
  task: (name: string) => `${name} is a task of a process`,
  vcpu: (name: string) => `${name} is a vCPU`,
  daemon: (name: string) => `${name} is a kernel thread`,
} as const;
const BY = { task: 'a task of a process', vcpu: 'a vCPU', any: '' } as const;
/** Parameters that take all words to the end. */
const REST = new Set<LitmusParam>(['foll', 'prot']);
/** How a parameter is named in messages; a slot is two arguments. */
const SHOWN: Readonly<Record<LitmusParam, string>> = {
  page: 'PAGE',
  range: 'RANGE',
  mapping: 'MAPPING',
  slot: 'VM, SLOT',
  register: 'REG',
  gfn: 'GFN',
  value: 'VALUE',
  scratch: 'N',
  node: 'NODE',
  count: 'N',
  process: 'PROCESS',
  vm: 'VM',
  foll: 'FLAGS...',
  prot: 'FLAGS...',
  advice: 'ADVICE',
};
const VALUE_MAX = 0x7fffffff;

/** `pin(PAGE, FLAGS...)`. */
export function signature({
  name,
  params,
  optional = 0,
}: Pick<LitmusOperation, 'name' | 'params' | 'optional'>): string {
  const shown = params.map((param, i) => (i < params.length - optional ? SHOWN[param] : `[${SHOWN[param]}]`));
  return `${name}(${shown.join(', ')})`;
}

/** Arguments in the file at least and at most. */
function arity({ params, optional = 0 }: LitmusOperation): readonly [number, number] {
  const most = params.reduce((sum, param) => sum + (param === 'slot' ? 2 : 1), 0);
  const rest = params.some((param) => REST.has(param));
  return [most - optional - (params.includes('foll') ? 1 : 0), rest ? Number.MAX_SAFE_INTEGER : most];
}

export class CallChecker {
  readonly #scope: Scope;
  /** Registers given out. */
  registers = 0;

  #inColumns: readonly string[] = [];

  constructor(scope: Scope) {
    this.#scope = scope;
  }

  /** Told before columns are checked: a column that takes another's result is told so. */
  resultsOfColumns(names: readonly string[]): void {
    this.#inColumns = names;
  }

  /**
   * Looks up one operation.
   * @param column of the actor, -1 for set-up
   * @param later names of the results that the same actor sets after this operation
   */
  call(expr: CallExpr, result: Word | null, by: ActorModel, column: number, later: readonly Word[]): LitmusCall | null {
    const op = litmusOperation(expr.name.text);
    const row = LITMUS_OPERATIONS[op];
    const register = result === null ? -1 : this.#result(result, column, row?.result ?? 'pfn');
    if (row === undefined) {
      this.#scope.unknown(
        expr.name,
        'operation',
        LITMUS_OPERATIONS.map(({ name }) => name),
      );
      return null;
    }
    if (by.kind === 'unknown') return null;
    if (row.by !== 'any' && row.by !== by.kind) {
      this.#scope.mistake(expr.name.at, `${row.name} is done by ${BY[row.by]}; ${WHOM[by.kind](by.name)}`);
      return null;
    }
    const args = this.#arguments(expr, row, by, column, later);
    return args === null ? null : { op, args, result: register };
  }

  #result(word: Word, column: number, kind: LitmusOperation['result']): number {
    const scope = this.#scope;
    const { text: name, at } = word;
    if (RESERVED_WORDS.has(name)) {
      scope.mistake(at, `'${name}' stands for a state; expected another name for the result`);
      return -1;
    }
    if (scope.processes.some(({ mappings }) => mappings.some((mapping) => mapping.name === name))) {
      scope.mistake(at, `'${name}' is a mapping; expected another name for the result`);
      return -1;
    }
    const known = scope.results.find((each) => each.name === name && (each.column === column || each.column < 0));
    if (known !== undefined) {
      scope.mistake(at, `a second result '${name}'; the first is in line ${known.at.line}`);
      return -1;
    }
    if (this.registers === LITMUS_REGISTERS) scope.mistake(at, `expected at most ${LITMUS_REGISTERS} results`);
    scope.results.push({ name, column, register: this.registers, kind, at });
    return this.registers++;
  }

  /** The arguments as numbers, or null where one of them is wrong. */
  #arguments(
    expr: CallExpr,
    row: LitmusOperation,
    by: ActorModel,
    column: number,
    later: readonly Word[],
  ): number[] | null {
    const [least, most] = arity(row);
    const count = expr.args.length;
    if (count < least || count > most) {
      const expected = most > least ? (most > 99 ? `${least} or more` : `${least} or ${most}`) : String(least);
      this.#scope.mistake(
        expr.at,
        `${signature(row)}: expected ${expected} argument${expected === '1' ? '' : 's'}, got ${count}`,
      );
      return null;
    }
    const before = this.#scope.mistakes.length;
    const numbers: number[] = [];
    let next = 0;
    let vm = by.vm;
    for (const param of row.params) {
      if (next >= count && !REST.has(param)) break;
      const arg = expr.args[next++];
      if (REST.has(param)) {
        const words = expr.args.slice(next - 1);
        numbers.push(words.reduce((bits, word) => bits | this.#constant(param, word), 0));
      } else if (param === 'slot') {
        vm = this.#vm(arg as Argument);
        numbers.push(...this.#slot(vm, expr.args[next++] as Argument, row.name));
      } else if (param === 'vm') {
        vm = this.#vm(arg as Argument);
        numbers.push(vm?.vm ?? 0);
      } else {
        numbers.push(...this.#argument(param, arg as Argument, by, vm, column, later));
      }
    }
    if (row.params.includes('process') && count === 0 && by.process === null) {
      this.#scope.mistake(expr.at, `${signature(row)}: ${by.name} has no process; expected which process is meant`);
    }
    return this.#scope.mistakes.length === before ? numbers : null;
  }

  #argument(
    param: LitmusParam,
    arg: Argument,
    by: ActorModel,
    vm: VmModel | null,
    column: number,
    later: readonly Word[],
  ): number[] {
    const scope = this.#scope;
    switch (param) {
      case 'page': {
        const page = this.#isPage(arg) ? scope.page(arg, by) : null;
        return page === null ? [] : [page.mm, page.start];
      }
      case 'range': {
        const range = this.#isPage(arg) ? scope.range(arg, by) : null;
        return range === null ? [] : [range.mm, range.start, range.end];
      }
      case 'mapping': {
        const range = this.#isPage(arg) ? scope.range(arg, by) : null;
        if (range === null) return [];
        if (arg.kind === 'page' && arg.from !== null)
          scope.mistake(arg.at, 'expected a whole mapping, got a page of it');
        return [range.mm, range.mapping.start, range.mapping.pages, range.mapping.flags];
      }
      case 'register':
        return [this.#register(arg, column, by, later)];
      case 'gfn':
        return [this.gfn(arg, vm)];
      case 'process': {
        const word = this.#word(arg, 'a process');
        const process = word === null ? null : scope.named(word, 'process', scope.processes);
        return [process?.mm ?? 0];
      }
      case 'node':
        return [this.#number(arg, 'node', 0, scope.nodes - 1)];
      case 'count':
        return [this.#number(arg, 'count', 1, 1_000_000)];
      case 'scratch':
        return [this.#number(arg, 'scratch word', 0, SCRATCH_WORDS - 1)];
      case 'value':
        return [this.#number(arg, 'value', 0, VALUE_MAX)];
      default:
        return [this.#constant(param, arg)];
    }
  }

  #isPage(arg: Argument): arg is PageRef {
    if (arg.kind === 'page') return true;
    this.#scope.mistake(arg.at, `expected a page, got ${arg.value}`);
    return false;
  }

  #number(arg: Argument, what: string, low: number, high: number): number {
    const got = arg.kind === 'number' ? String(arg.value) : `'${pageText(arg)}'`;
    if (arg.kind === 'number' && arg.value >= low && arg.value <= high) return arg.value;
    this.#scope.mistake(arg.at, `${what}: expected a number from ${low} to ${high}, got ${got}`);
    return low;
  }

  /** A bare name, or null and a mistake. */
  #word(arg: Argument, what: string): Word | null {
    if (arg.kind === 'page' && arg.process === null && arg.from === null) return arg.name;
    this.#scope.mistake(arg.at, `expected ${what}, got ${arg.kind === 'page' ? `'${pageText(arg)}'` : arg.value}`);
    return null;
  }

  /** A flag or constant of `param`. */
  #constant(param: LitmusParam, arg: Argument): number {
    const words = LITMUS_WORDS[param] ?? {};
    const word = this.#word(arg, param === 'advice' ? 'an advice' : 'a flag');
    if (word === null) return 0;
    if (Object.hasOwn(words, word.text)) return words[word.text] as number;
    this.#scope.unknown(word, param === 'advice' ? 'advice' : 'flag', Object.keys(words));
    return 0;
  }

  #vm(arg: Argument): VmModel | null {
    const word = this.#word(arg, 'a VM');
    return word === null ? null : this.#scope.named(word, 'VM', this.#scope.vms);
  }

  /** vm, id, gfn, pages, vpn, flags of a declared slot. */
  #slot(vm: VmModel | null, arg: Argument, operation: string): number[] {
    const id = this.#number(arg, 'slot', 0, 7);
    if (vm === null) return [];
    const slot = vm.slots.find((each) => each.id === id);
    if (slot === undefined) {
      const ids = vm.slots.map((each) => each.id).join(', ');
      this.#scope.mistake(arg.at, `${operation}: no slot ${id} of ${vm.name}; it declares ${ids || 'none'}`);
      return [];
    }
    return [vm.vm, slot.id, slot.gfn, slot.pages, slot.vpn, slot.flags];
  }

  /** A guest page in one of the VM's slots. */
  gfn(arg: { readonly kind: string; readonly at: Span; readonly value?: number }, vm: VmModel | null): number {
    const { at, value } = arg;
    if (arg.kind !== 'number' || value === undefined || value < 0) {
      this.#scope.mistake(at, 'expected the number of a guest page');
      return 0;
    }
    if (vm === null || vm.slots.some(({ gfn, pages }) => value >= gfn && value < gfn + pages)) return value;
    const slots = vm.slots.map(({ gfn, pages }) => (pages === 1 ? `${gfn}` : `${gfn} to ${gfn + pages - 1}`));
    this.#scope.mistake(at, `gfn ${value} is in no slot of ${vm.name}, which has ${slots.join(', ') || 'none'}`);
    return 0;
  }

  /** The register of a pinned page: a result of this column so far, or of set-up. */
  #register(arg: Argument, column: number, by: ActorModel, later: readonly Word[]): number {
    const scope = this.#scope;
    const word = this.#word(arg, 'a result');
    if (word === null) return -1;
    const mine = scope.results.filter((each) => each.column === column || each.column < 0);
    const found = mine.find(({ name }) => name === word.text);
    if (found !== undefined) {
      if (found.kind !== 'pfn')
        scope.mistake(word.at, `'${word.text}' is no pinned page, but a result of line ${found.at.line}`);
      return found.register;
    }
    if (later.some(({ text }) => text === word.text)) {
      scope.mistake(word.at, `'${word.text}' is used before it is set`);
    } else if (this.#inColumns.includes(word.text)) {
      scope.mistake(
        word.at,
        `'${word.text}' is a result of another column; ${by.name} knows its own and those of init`,
      );
    } else {
      scope.unknown(
        word,
        'result',
        mine.filter(({ kind }) => kind === 'pfn').map(({ name }) => name),
      );
    }
    return -1;
  }
}
