/** Questions: terms looked up, values that can be compared, conditions as plain data. */
import { LITMUS_OPERATIONS } from '../../../../actors/litmus/operations.js';
import { MECHANISMS } from '../../../machine/mechanisms.js';
import { HDR_REGISTERS } from '../../../machine/layout.js';
import type { Condition, PageRef, QuestionDecl, Span, Value, Word } from './ast.js';
import type { CallChecker } from './check-calls.js';
import type { Expression, Observable, Predicate, Question } from './conditions.js';
import { listed, shownToken } from './grammar-messages.js';
import type { ResultModel, VmModel } from './model.js';
import { conditionText, valueSource } from './print.js';
import { type Scope, pageText } from './scope.js';
import { FLAG_NAMES, TERMS, type TermParam, type TermRow } from './terms.js';
import { ERROR_NAMES, RESERVED_WORDS, errorValue, wordValue } from './values.js';

/** What a value can be. */
interface Kind {
  readonly numbers: boolean;
  readonly words: readonly string[];
  readonly frames: boolean;
  readonly constant: boolean;
}
interface Typed {
  readonly expression: Expression;
  readonly kind: Kind;
}

const NUMBER: Kind = { numbers: true, words: [], frames: false, constant: false };
const CONSTANT: Kind = { ...NUMBER, constant: true };
const FALSE: Predicate = { kind: 'or', of: [] };

/** How an argument is named in messages. */
const SHOWN: Readonly<Record<string, string>> = {
  page: 'PAGE',
  frame: 'PAGE or RESULT',
  vm: 'VM',
  gfn: 'GFN',
  process: 'PROCESS',
  actor: 'ACTOR',
  column: 'ACTOR',
  vcpus: 'VM',
  mechanism: 'MECHANISM',
  flag: 'FLAG',
};
const shownParam = (param: TermParam): string => (param.startsWith('=') ? param.slice(1) : (SHOWN[param] as string));
/** `stage2(VM, GFN)`. */
export const termSignature = ({ name, params }: Pick<TermRow, 'name' | 'params'>): string =>
  `${name}(${params.map(shownParam).join(', ')})`;

export class QuestionChecker {
  readonly #scope: Scope;
  readonly #calls: CallChecker;
  /** Everything that final states are told apart by. */
  readonly observables: Observable[] = [];

  constructor(scope: Scope, calls: CallChecker) {
    this.#scope = scope;
    this.#calls = calls;
    for (const result of scope.results) if (result.column >= 0) this.#observe(resultText(scope, result), result);
  }

  question({ word, during, condition }: QuestionDecl): Question {
    const predicate = this.#predicate(condition, during);
    return { word, during, predicate, text: `${word}${during ? ' during' : ''} (${conditionText(condition)})` };
  }

  /** A condition by itself: `explain --outcome '(...)'`. */
  condition(condition: Condition): Predicate {
    return this.#predicate(condition, true);
  }

  #observe(text: string, { register, kind }: ResultModel): void {
    if (this.observables.some((each) => each.text === text)) return;
    this.observables.push({ text, expression: { kind: 'register', register }, frames: kind === 'pfn' });
  }

  #predicate(condition: Condition, during: boolean): Predicate {
    if (condition.kind === 'not') return { kind: 'not', of: this.#predicate(condition.of, during) };
    if (condition.kind !== 'compare') {
      return { kind: condition.kind, of: condition.of.map((each) => this.#predicate(each, during)) };
    }
    const left = this.#value(condition.left, during);
    const right = this.#value(condition.right, during);
    if (left === null || right === null) return FALSE;
    const { relation } = condition;
    const problem = comparison(condition.left, left.kind, condition.right, right.kind, relation);
    if (problem !== null) {
      this.#scope.mistake(condition.at, problem);
      return FALSE;
    }
    return { kind: 'compare', left: left.expression, relation, right: right.expression };
  }

  #value(value: Value, during: boolean): Typed | null {
    switch (value.kind) {
      case 'number':
        return { expression: { kind: 'constant', value: value.value }, kind: CONSTANT };
      case 'minus':
        return this.#error(value.name);
      case 'result':
        return this.#resultOf(value.actor, value.name);
      case 'term':
        return this.#term(value, during);
      default:
        return this.#name(value);
    }
  }

  #error(name: Word): Typed | null {
    const value = errorValue(name.text);
    if (value !== undefined) return { expression: { kind: 'constant', value }, kind: CONSTANT };
    this.#scope.unknown(name, 'error', ERROR_NAMES);
    return null;
  }

  /** A bare name: a result, or a word for a state. */
  #name(page: PageRef): Typed | null {
    const scope = this.#scope;
    const name = page.name.text;
    const bare = page.process === null && page.from === null;
    if (bare && RESERVED_WORDS.has(name)) {
      const kind = { numbers: false, words: [name], frames: false, constant: true };
      return { expression: { kind: 'constant', value: wordValue(name) }, kind };
    }
    const found = bare ? scope.results.filter((each) => each.name === name) : [];
    if (found.length === 1) return typedResult(found[0] as ResultModel);
    if (found.length > 1) {
      const texts = found.map(({ column }) => `${scope.columns[column]?.name}:${name}`);
      scope.mistake(page.at, `'${name}' is a result of several columns; expected ${listed(texts)}`);
    } else if (errorValue(name) !== undefined) {
      scope.mistake(page.at, `expected a value, got '${name}'; errors are written -${name}`);
    } else if (scope.processes.some(({ mappings }) => mappings.some((mapping) => mapping.name === name))) {
      scope.mistake(
        page.at,
        `'${pageText(page)}' is a page; expected what of it is meant, such as pfn(${pageText(page)})`,
      );
    } else {
      scope.unknown(
        { text: pageText(page), at: page.at },
        'result or state',
        scope.results.map((each) => resultText(scope, each)),
      );
    }
    return null;
  }

  #resultOf(actor: Word, name: Word): Typed | null {
    const scope = this.#scope;
    const column = scope.columns.findIndex((each) => each.name === actor.text);
    if (column < 0) {
      scope.unknown(
        actor,
        'actor',
        scope.columns.map((each) => each.name),
      );
      return null;
    }
    const own = scope.results.filter((each) => each.column === column);
    const found = scope.named(name, `result of ${actor.text}`, own);
    return found === null ? null : typedResult(found);
  }

  #term(value: Extract<Value, { kind: 'term' }>, during: boolean): Typed | null {
    const scope = this.#scope;
    const before = scope.mistakes.length;
    const index = this.#row(value);
    if (index < 0) return null;
    const row = TERMS[index] as TermRow;
    const args: number[] = [];
    let of: Expression | null = null;
    row.params.forEach((param, i) => {
      const arg = value.args[i] as Value;
      if (param === 'frame') of = this.#frame(arg, during);
      else if (!param.startsWith('=')) args.push(...this.#argument(param, arg, value.args[i - 1]));
    });
    if (scope.mistakes.length > before) return null;
    const expression: Expression = { kind: 'term', row: index, args, of };
    const frames = row.frames === true;
    const text = valueSource(value);
    if (!during && row.name !== 'pfn0' && !this.observables.some((each) => each.text === text)) {
      this.observables.push({ text, expression, frames });
    }
    return { expression, kind: { numbers: row.numbers, words: row.words, frames, constant: false } };
  }

  /** Which row of the table is meant, or -1 and a mistake. */
  #row({ name, args, at }: Extract<Value, { kind: 'term' }>): number {
    const scope = this.#scope;
    const named = TERMS.filter((row) => row.name === name.text);
    if (named.length === 0) {
      const isOperation = LITMUS_OPERATIONS.some((row) => row.name === name.text);
      if (isOperation)
        scope.mistake(name.at, `'${name.text}' is an operation; expected a term or the name of its result`);
      else scope.unknown(name, 'term', [...new Set(TERMS.map((row) => row.name))]);
      return -1;
    }
    const fitting = named.filter(({ params }) => params.length === args.length);
    const found = fitting.find(
      ({ params: [first] }) => first?.startsWith('=') !== true || first.slice(1) === bareName(args[0]),
    );
    if (found !== undefined) return TERMS.indexOf(found);
    const expected = listed(named.map(termSignature));
    if (fitting.length === 0) {
      scope.mistake(at, `expected ${expected}, got ${args.length} argument${args.length === 1 ? '' : 's'}`);
    } else {
      scope.mistake(args[0]?.at ?? at, `expected ${expected}, got ${shownToken(valueSource(args[0] as Value))}`);
    }
    return -1;
  }

  /** The page of a frame term: one that is mapped, or the one in a result or term. */
  #frame(value: Value, during: boolean): Expression | null {
    const scope = this.#scope;
    if (value.kind === 'page') {
      const isResult =
        value.process === null && value.from === null && scope.results.some(({ name }) => name === value.name.text);
      if (!isResult) {
        const page = scope.page(value, null);
        const row = TERMS.findIndex(({ name }) => name === 'pfn');
        return page === null ? null : { kind: 'term', row, args: [page.mm, page.start], of: null };
      }
    }
    if (value.kind === 'number') {
      const known = value.value < scope.frames;
      if (!known) scope.mistake(value.at, `frame: expected a number from 0 to ${scope.frames - 1}, got ${value.value}`);
      return known ? { kind: 'constant', value: value.value } : null;
    }
    const typed = value.kind === 'term' ? this.#term(value, true) : this.#value(value, during);
    if (typed === null) return null;
    if (typed.kind.frames) return typed.expression;
    scope.mistake(
      value.at,
      `expected a page, a frame's number, or a result or term that is one, got ${shownToken(valueSource(value))}`,
    );
    return null;
  }

  #argument(param: TermParam, arg: Value, before: Value | undefined): number[] {
    const scope = this.#scope;
    if (param === 'gfn') return [this.#calls.gfn(arg, this.#vmNamed(before))];
    if (param === 'page') {
      const page = arg.kind === 'page' ? scope.page(arg, null) : null;
      if (arg.kind !== 'page') scope.mistake(arg.at, `expected a page, got ${shownToken(valueSource(arg))}`);
      return page === null ? [] : [page.mm, page.start];
    }
    const name = bareName(arg);
    if (name === null) {
      scope.mistake(arg.at, `expected ${shownParam(param)}, got ${shownToken(valueSource(arg))}`);
      return [];
    }
    const word = { text: name, at: arg.at };
    switch (param) {
      case 'vm':
        return [scope.named(word, 'VM', scope.vms)?.vm ?? 0];
      case 'process':
        return [scope.named(word, 'process', scope.processes)?.mm ?? 0];
      case 'actor':
        return [this.#column(word)];
      case 'column':
        return [HDR_REGISTERS + this.#lastRegister(word)];
      case 'vcpus':
        return this.#vcpus(scope.named(word, 'VM', scope.vms));
      case 'mechanism':
        return [this.#indexOf(word, 'mechanism', MECHANISMS, 'any')];
      default:
        return [this.#indexOf(word, 'flag', FLAG_NAMES)];
    }
  }

  #column(word: Word): number {
    const { columns } = this.#scope;
    const found = this.#scope.named(word, 'actor', columns);
    return found === null ? 0 : columns.indexOf(found);
  }

  /** The register that is set when the actor has done its last operation: its own result's, or one made for it. */
  #lastRegister(word: Word): number {
    const { calls } = this.#scope.columns[this.#column(word)] ?? { calls: [] };
    const last = calls.at(-1);
    if (last === undefined) return 0;
    if (last.result >= 0) return last.result;
    const result = this.#calls.registers++;
    calls[calls.length - 1] = { ...last, result };
    return result;
  }

  /** The columns that run vCPUs of the VM. */
  #vcpus(vm: VmModel | null): number[] {
    return this.#scope.columns.flatMap((column, index) => (column.vm === vm && vm !== null ? [index] : []));
  }

  #vmNamed(value: Value | undefined): VmModel | null {
    const name = value === undefined ? null : bareName(value);
    return this.#scope.vms.find((vm) => vm.name === name) ?? null;
  }

  /** Where `word` stands in `names`; -1 for `all`. */
  #indexOf(word: Word, what: string, names: readonly string[], all?: string): number {
    if (word.text === all) return -1;
    const index = names.indexOf(word.text);
    if (index < 0) this.#scope.unknown(word, what, all === undefined ? names : [...names, all]);
    return index;
  }
}

const typedResult = ({ register, kind }: ResultModel): Typed => ({
  expression: { kind: 'register', register },
  kind: { ...NUMBER, frames: kind === 'pfn' },
});

/** `p`, or `cpu0:p` where several columns have one. */
function resultText(scope: Scope, { name, column }: ResultModel): string {
  const shared = scope.results.filter((each) => each.name === name).length > 1;
  return shared ? `${scope.columns[column]?.name}:${name}` : name;
}

const bareName = (value: Value | undefined): string | null =>
  value?.kind === 'page' && value.process === null && value.from === null ? value.name.text : null;

const kindText = ({ numbers, words }: Kind): string =>
  listed([...(numbers ? ['a number'] : []), ...words.map((word) => `'${word}'`)]);

/** What is wrong with comparing the two, or null. */
function comparison(
  left: Value & { readonly at: Span },
  a: Kind,
  right: Value,
  b: Kind,
  relation: string,
): string | null {
  const ordered = relation !== '==' && relation !== '!=';
  const fits = (a.numbers && b.numbers) || (!ordered && a.words.some((word) => b.words.includes(word)));
  if (fits) return null;
  const [term, other, kind] = b.constant || !a.constant ? [left, right, a] : [right, left, b];
  const [shown, got] = [valueSource(term), shownToken(valueSource(other))];
  if (ordered && !kind.numbers) return `${shown} is ${kindText(kind)}; expected '==' or '!=', got '${relation}'`;
  return `${shown} is ${kindText(kind)}, got ${got}`;
}
