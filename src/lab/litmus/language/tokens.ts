/**
 * The words of a litmus file. Keywords are names too: a file may have a process `vm` or an actor `kernel`, so each keyword's
 * token stands where a name is expected as well.
 */
import { type IToken, type TokenType, createToken, Lexer } from 'chevrotain';

const NAME = /[A-Za-z][A-Za-z0-9_-]*/;

export const Name = createToken({ name: 'Name', pattern: NAME, label: 'a name' });

const keyword = (word: string): TokenType =>
  createToken({ name: `'${word}'`, pattern: word, longer_alt: Name, categories: [Name], label: `'${word}'` });

export const K = {
  litmus: keyword('litmus'),
  kernel: keyword('kernel'),
  policy: keyword('policy'),
  bug: keyword('bug'),
  machine: keyword('machine'),
  knobs: keyword('knobs'),
  inject: keyword('inject'),
  alloc: keyword('alloc'),
  expect: keyword('expect'),
  violation: keyword('violation'),
  deadlock: keyword('deadlock'),
  livelock: keyword('livelock'),
  steps: keyword('steps'),
  process: keyword('process'),
  memlock: keyword('memlock'),
  anon: keyword('anon'),
  shared: keyword('shared'),
  pfnmap: keyword('pfnmap'),
  vm: keyword('vm'),
  of: keyword('of'),
  vcpus: keyword('vcpus'),
  protected: keyword('protected'),
  unborn: keyword('unborn'),
  slot: keyword('slot'),
  gfn: keyword('gfn'),
  pages: keyword('pages'),
  at: keyword('at'),
  poison: keyword('poison'),
  unpinnable: keyword('unpinnable'),
  nomap: keyword('nomap'),
  init: keyword('init'),
  node: keyword('node'),
  exists: keyword('exists'),
  forbidden: keyword('forbidden'),
  sometimes: keyword('sometimes'),
  always: keyword('always'),
  during: keyword('during'),
} as const;

const sign = (name: string, pattern: string | RegExp, label = `'${String(pattern)}'`): TokenType =>
  createToken({ name, pattern, label });

export const Text = sign('Text', /"[^"]*"/, 'a sentence in quotation marks');
export const Num = sign('Num', /0[xX][0-9a-fA-F]+|\d+/, 'a number');
/** Words, not names: nothing may be called so. */
export const And = createToken({ name: 'And', pattern: /\/\\|and\b(?!-)/, label: "'/\\'" });
export const Or = createToken({ name: 'Or', pattern: /\\\/|or\b(?!-)/, label: "'\\/'" });
export const Not = createToken({ name: 'Not', pattern: /~|not\b(?!-)/, label: "'~'" });
export const Relation = sign('Relation', /==|!=|<=|>=|<|>/, "a comparison ('==', '!=', '<', '<=', '>' or '>=')");
export const Equals = sign('Equals', '=');
export const At = sign('At', '@');
export const Bar = sign('Bar', '|');
export const Semicolon = sign('Semicolon', ';');
export const Colon = sign('Colon', ':');
export const Comma = sign('Comma', ',');
export const Range = sign('Range', '..');
export const Dot = sign('Dot', '.');
export const Minus = sign('Minus', '-');
export const Open = sign('Open', '(');
export const Close = sign('Close', ')');
export const OpenBrace = sign('OpenBrace', '{');
export const CloseBrace = sign('CloseBrace', '}');
export const OpenIndex = sign('OpenIndex', '[');
export const CloseIndex = sign('CloseIndex', ']');
/** Of other languages: nowhere expected, but named whole in messages. */
const Foreign = sign('Foreign', /&&|!(?!=)|&|\+|\*|%|\$/, "'&&'");

const Space = createToken({ name: 'Space', pattern: /[ \t\r\n\f\v]+/, group: Lexer.SKIPPED, line_breaks: true });
const Comment = createToken({ name: 'Comment', pattern: /#[^\n]*/, group: Lexer.SKIPPED });

export const TOKENS: readonly TokenType[] = [
  Space,
  Comment,
  Text,
  And,
  Or,
  Not,
  ...Object.values(K),
  Name,
  Num,
  Relation,
  Foreign,
  Equals,
  At,
  Bar,
  Semicolon,
  Colon,
  Comma,
  Range,
  Dot,
  Minus,
  Open,
  Close,
  OpenBrace,
  CloseBrace,
  OpenIndex,
  CloseIndex,
];

export const LITMUS_LEXER = new Lexer([...TOKENS], { positionTracking: 'full', ensureOptimizations: false });

/** The words that open a part of the file. */
export const isQuestionWord = (token: IToken): boolean =>
  token.tokenType === K.exists ||
  token.tokenType === K.forbidden ||
  token.tokenType === K.sometimes ||
  token.tokenType === K.always;
