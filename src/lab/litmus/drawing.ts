/** What a litmus test says about its own diagrams: its operations as they are written, and the pages and actors that an outcome names. */
import { LITMUS_OPERATIONS, LITMUS_PARAM_WORDS } from '../../../actors/litmus/operations.js';
import type { LitmusCall } from '../../plan/litmus.js';
import type { DiagramOperation } from '../../trace/diagram/model.js';
import type { DiagramFocus } from '../../trace/diagram/focus.js';
import { hex } from '../../trace/text.js';
import type { LitmusTest, Wanted } from './compile.js';
import type { Expression, Predicate } from './language/conditions.js';
import { callSource } from './language/print.js';
import { TERMS } from './language/terms.js';
import { valueText } from './language/values.js';

/** By actor, the operations of its column in their order; actors that have no column have none. */
export const operationsOf = (test: LitmusTest): readonly (readonly DiagramOperation[])[] =>
  test.source.actors.map((_, column) => {
    const { calls = [], task } = test.plan.litmus?.columns[column] ?? {};
    return test.source.rows
      .flatMap(({ cells }) => cells[column] ?? [])
      .map(({ result, call }, i) => ({
        text: `${result === null ? '' : `${result.text} = `}${callSource(call)}`,
        result: (value: number) => resultText(value, calls[i], result !== null),
        pages: pagesOf(test, calls[i], task?.vm ?? -1),
      }));
  });

/** The pages that an operation names. */
function pagesOf(test: LitmusTest, call: LitmusCall | undefined, vm: number): readonly DiagramFocus[] {
  const found = new Collector(test);
  if (call !== undefined) found.operation(call, vm);
  return found.pages;
}

/** A result that has a name, or says that something went wrong. */
function resultText(value: number, call: LitmusCall | undefined, named: boolean): string {
  if (!named && value >= 0) return '';
  const isFrame = call !== undefined && LITMUS_OPERATIONS[call.op]?.result === 'pfn';
  return isFrame && value >= 0 ? `pfn ${hex(value)}` : valueText(value);
}

/** Whom and what an outcome names. */
export interface Named {
  readonly pages: readonly DiagramFocus[];
  readonly actors: readonly number[];
}

/** What the questions of a test, or those parts of them that were asked for, name. */
export function namedIn(test: LitmusTest, wanted: Wanted | null): Named {
  const found = new Collector(test);
  if (wanted !== null && 'predicate' in wanted) found.predicate(wanted.predicate);
  else {
    const text = wanted === null ? null : ` ${wanted.text}`;
    for (const each of test.observables)
      if (text === null || text.includes(` ${each.text}=`)) found.expression(each.expression);
    if (found.isEmpty) for (const { predicate } of test.questions) found.predicate(predicate);
  }
  return { pages: found.pages, actors: [...found.actors] };
}

/** What the condition of a question of every state or of final ones names: that whose text is in `what`. */
export function namedByRule(test: LitmusTest, what: string): Named {
  const found = new Collector(test);
  for (const { text, word, predicate } of test.questions)
    if (what.startsWith(text.slice(word.length + 1))) found.predicate(predicate);
  return { pages: found.pages, actors: [...found.actors] };
}

class Collector {
  readonly pages: DiagramFocus[] = [];
  readonly actors = new Set<number>();
  readonly #test: LitmusTest;

  constructor(test: LitmusTest) {
    this.#test = test;
  }

  get isEmpty(): boolean {
    return this.pages.length === 0 && this.actors.size === 0;
  }

  predicate(predicate: Predicate): void {
    if (predicate.kind === 'not') this.predicate(predicate.of);
    else if (predicate.kind === 'compare') [predicate.left, predicate.right].forEach((each) => this.expression(each));
    else predicate.of.forEach((each) => this.predicate(each));
  }

  expression(expression: Expression): void {
    if (expression.kind === 'constant') return;
    if (expression.kind === 'register') return this.#register(expression.register);
    if (expression.of !== null) this.expression(expression.of);
    // the first argument of a term of a frame is another term's value
    const params = TERMS[expression.row]?.params.slice(expression.of === null ? 0 : 1) ?? [];
    this.#arguments(params, expression.args, (param) => (param === 'page' ? 2 : param.startsWith('=') ? 0 : 1), -1);
  }

  /** A result names who has it, and the pages that its operation was about. */
  #register(register: number): void {
    this.#test.plan.litmus?.columns.forEach(({ task, calls }, actor) => {
      for (const { op, args, result } of calls) {
        if (result !== register) continue;
        this.actors.add(actor);
        this.operation({ op, args }, task.vm);
      }
    });
    // a page that was pinned in set-up
    for (const { task, call } of this.#test.plan.litmus?.init ?? []) {
      if (call.result !== register) continue;
      this.operation(call, task.vm);
    }
  }

  operation({ op, args }: Pick<LitmusCall, 'op' | 'args'>, vm: number): void {
    this.#arguments(LITMUS_OPERATIONS[op]?.params ?? [], args, (param) => LITMUS_PARAM_WORDS[param], vm);
  }

  #arguments<Param extends string>(
    params: readonly Param[],
    args: readonly number[],
    words: (param: Param) => number,
    own: number,
  ): void {
    let at = 0;
    let vm = own;
    for (const param of params) {
      const [a = 0, b = 0, c = 0] = args.slice(at);
      if (param === 'page') this.pages.push({ mm: a, vpn: b });
      else if (param === 'range') this.pages.push({ mm: a, vpn: b, pages: Math.max(1, c - b) });
      else if (param === 'vm') vm = a;
      else if (param === 'gfn' && vm >= 0) this.pages.push({ vm, gfn: a });
      else if (param === 'actor' || param === 'column') this.#actor(a, param === 'column');
      else if (param === 'register') this.#register(a);
      at += words(param);
    }
  }

  #actor(number: number, isRegister: boolean): void {
    if (isRegister) this.#register(number);
    else if (number >= 0) this.actors.add(number);
  }
}
