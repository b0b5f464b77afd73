/** From the parser's tree to the file's parts (ast.ts). For trees of files without syntax errors only: nothing is missing there. */
import type { CstElement, CstNode, IToken } from 'chevrotain';
import type {
  ActorDecl,
  Argument,
  CallExpr,
  Condition,
  FramesDecl,
  Header,
  InitStep,
  LitmusFile,
  MappingDecl,
  Operation,
  PageRef,
  ProcessDecl,
  QuestionDecl,
  QuestionWord,
  RelationSign,
  Row,
  Setting,
  SlotDecl,
  Span,
  Value,
  VmDecl,
  Who,
  Whole,
  Word,
} from './ast.js';

export const QUESTION_WORDS = ['exists', 'forbidden', 'sometimes', 'always'] as const satisfies readonly QuestionWord[];

const all = (node: CstNode, name: string): readonly CstElement[] => node.children[name] ?? [];
const nodes = (node: CstNode, name: string): readonly CstNode[] => all(node, name) as readonly CstNode[];
const tokens = (node: CstNode, name: string): readonly IToken[] => all(node, name) as readonly IToken[];
const has = (node: CstNode, name: string): boolean => all(node, name).length > 0;
/** Whether a keyword stands there. */
const says = (node: CstNode, word: string): boolean => has(node, `'${word}'`);
const child = (node: CstNode, name: string): CstNode => nodes(node, name)[0] as CstNode;
const token = (node: CstNode, name: string, index = 0): IToken => tokens(node, name)[index] as IToken;

export const spanOfToken = (from: IToken, to: IToken = from): Span => ({
  line: from.startLine ?? 1,
  column: from.startColumn ?? 1,
  endLine: to.endLine ?? 1,
  endColumn: (to.endColumn ?? 0) + 1,
});

function spanOf({ location }: CstNode): Span {
  return {
    line: location?.startLine ?? 1,
    column: location?.startColumn ?? 1,
    endLine: location?.endLine ?? 1,
    endColumn: (location?.endColumn ?? 0) + 1,
  };
}

const wordOf = (from: IToken): Word => ({ text: from.image, at: spanOfToken(from) });
const wholeOf = (from: IToken): Whole => ({ value: Number(from.image), at: spanOfToken(from) });
const word = (node: CstNode, name: string, index = 0): Word => wordOf(token(node, name, index));
const whole = (node: CstNode, index = 0): Whole => wholeOf(token(node, 'Num', index));
const wholeOrNull = (node: CstNode, index = 0): Whole | null =>
  tokens(node, 'Num').length > index ? whole(node, index) : null;
/** Of rules that are one name. */
const inner = (node: CstNode, rule: string): Word | null => (has(node, rule) ? word(child(node, rule), 'Name') : null);
const resultOf = (node: CstNode): Word | null => (has(node, 'Equals') ? word(node, 'Name') : null);
const flagsOf = (node: CstNode): Word[] => nodes(node, 'flag').map((flag) => word(flag, 'Name'));

function settingOf(node: CstNode): Setting {
  const named = tokens(node, 'Name');
  return { name: wordOf(named[0] as IToken), value: has(node, 'Num') ? whole(node) : wordOf(named[1] as IToken) };
}

function headerOf(node: CstNode): Header {
  const at = spanOf(node);
  if (says(node, 'kernel')) {
    const version = child(node, 'version');
    const text = `${token(version, 'Name').image}.${token(version, 'Num').image}`;
    return { kind: 'kernel', name: { text, at: spanOf(version) }, at };
  }
  if (says(node, 'policy')) return { kind: 'policy', name: word(node, 'Name'), at };
  if (says(node, 'bug')) return { kind: 'bug', name: word(node, 'Name'), at };
  if (says(node, 'inject')) return { kind: 'inject', actor: word(node, 'Name'), nth: whole(node), at };
  if (says(node, 'steps')) return { kind: 'steps', steps: whole(node), at };
  if (says(node, 'violation')) return { kind: 'expect', what: 'violation', invariant: word(node, 'Name'), at };
  if (says(node, 'expect')) return { kind: 'expect', what: says(node, 'deadlock') ? 'deadlock' : 'livelock', at };
  return { kind: says(node, 'machine') ? 'machine' : 'knobs', settings: nodes(node, 'setting').map(settingOf), at };
}

function mappingOf(node: CstNode): MappingDecl {
  const kind = says(node, 'anon') ? 'anon' : says(node, 'shared') ? 'shared' : 'pfnmap';
  return { name: word(node, 'Name'), kind, object: inner(node, 'object'), pages: whole(node), flags: flagsOf(node) };
}

const processOf = (node: CstNode): ProcessDecl => ({
  name: word(node, 'Name'),
  memlock: wholeOrNull(node),
  mappings: nodes(node, 'mapping').map(mappingOf),
});

const slotOf = (node: CstNode): SlotDecl => ({
  id: whole(node, 0),
  gfn: whole(node, 1),
  pages: whole(node, 2),
  page: pageOf(child(node, 'page')),
  flags: flagsOf(node),
});

const vmOf = (node: CstNode): VmDecl => ({
  name: word(node, 'Name', 0),
  process: word(node, 'Name', 1),
  vcpus: wholeOrNull(node),
  words: [...tokens(node, "'protected'"), ...tokens(node, "'unborn'")].map(wordOf),
  slots: nodes(node, 'slot').map(slotOf),
});

function framesOf(node: CstNode): FramesDecl {
  if (says(node, 'poison')) return { kind: 'poison', page: pageOf(child(node, 'page')) };
  return { kind: says(node, 'nomap') ? 'nomap' : 'unpinnable', from: whole(node), to: wholeOrNull(node, 1) };
}

const whoOf = (node: CstNode): Who => ({ name: word(node, 'Name'), vcpu: wholeOrNull(node) });

const initOf = (node: CstNode): InitStep => ({
  result: resultOf(node),
  who: whoOf(child(node, 'who')),
  call: callOf(child(node, 'call')),
});

const actorOf = (node: CstNode): ActorDecl => ({
  name: word(node, 'Name'),
  of: has(node, 'who') ? whoOf(child(node, 'who')) : null,
  node: wholeOrNull(node),
  at: spanOf(node),
});

const rowOf = (node: CstNode): Row => ({
  cells: nodes(node, 'cell').map((cell) => (has(cell, 'operation') ? operationOf(child(cell, 'operation')) : null)),
  at: spanOf(node),
});

const operationOf = (node: CstNode): Operation => ({
  result: resultOf(node),
  call: callOf(child(node, 'call')),
  at: spanOf(node),
});

const callOf = (node: CstNode): CallExpr => ({
  name: word(node, 'Name'),
  args: nodes(node, 'argument').map(argumentOf),
  at: spanOf(node),
});

function argumentOf(node: CstNode): Argument {
  if (has(node, 'page')) return pageOf(child(node, 'page'));
  const { value } = whole(node);
  return { kind: 'number', value: has(node, 'Minus') ? -value : value, at: spanOf(node) };
}

const pageOf = (node: CstNode): PageRef => ({
  kind: 'page',
  process: inner(node, 'owner'),
  name: word(node, 'Name'),
  from: wholeOrNull(node, 0),
  to: wholeOrNull(node, 1),
  at: spanOf(node),
});

function questionOf(node: CstNode): QuestionDecl {
  const kind = QUESTION_WORDS.find((name) => says(node, name)) as QuestionWord;
  const condition = conditionOf(child(node, 'condition'));
  return { word: kind, during: says(node, 'during'), condition, at: spanOf(node) };
}

/** `or` and `and` of one thing are that thing. */
export function conditionOf(node: CstNode): Condition {
  const clauses = nodes(node, 'clause').map((clause): Condition => {
    const factors = nodes(clause, 'factor').map(factorOf);
    return factors.length === 1 ? (factors[0] as Condition) : { kind: 'and', of: factors };
  });
  return clauses.length === 1 ? (clauses[0] as Condition) : { kind: 'or', of: clauses };
}

function factorOf(node: CstNode): Condition {
  if (has(node, 'factor')) return { kind: 'not', of: factorOf(child(node, 'factor')) };
  if (has(node, 'condition')) return conditionOf(child(node, 'condition'));
  const [left, right] = nodes(node, 'value').map(valueOf) as [Value, Value];
  return { kind: 'compare', left, relation: token(node, 'Relation').image as RelationSign, right, at: spanOf(node) };
}

function valueOf(node: CstNode): Value {
  const at = spanOf(node);
  if (has(node, 'page')) return pageOf(child(node, 'page'));
  if (has(node, 'term')) {
    const term = child(node, 'term');
    return { kind: 'term', name: word(term, 'Name'), args: nodes(term, 'value').map(valueOf), at };
  }
  if (has(node, 'result')) {
    const result = child(node, 'result');
    return { kind: 'result', actor: inner(result, 'owner') as Word, name: word(result, 'Name'), at };
  }
  if (has(node, 'Name')) return { kind: 'minus', name: word(node, 'Name'), at };
  const { value } = whole(node);
  return { kind: 'number', value: has(node, 'Minus') ? -value : value, at };
}

/** The whole file. */
export function fileOf(node: CstNode): LitmusFile {
  const [actors] = nodes(node, 'actors');
  const declared = (rule: string): CstNode[] => nodes(node, 'declaration').flatMap((each) => nodes(each, rule));
  return {
    name: word(node, 'Name'),
    sentence: token(node, 'Text').image.slice(1, -1).replace(/\s+/g, ' ').trim(),
    headers: declared('header').map(headerOf),
    processes: declared('process').map(processOf),
    vms: declared('vm').map(vmOf),
    frames: declared('frames').map(framesOf),
    init: declared('init').flatMap((each) => nodes(each, 'initStep').map(initOf)),
    actors: nodes(actors as CstNode, 'actor').map(actorOf),
    rows: nodes(node, 'row').map(rowOf),
    questions: nodes(node, 'question').map(questionOf),
  };
}
