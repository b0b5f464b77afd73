/** Reads the text of a litmus file: its parts, or what is wrong with it, each mistake with its place and what was expected there. */
import { EOF, type ILexingError, type IRecognitionException, type IToken } from 'chevrotain';
import { litmusOperation } from '../../../../actors/litmus/operations.js';
import type { Condition, LitmusFile, Span } from './ast.js';
import { LitmusParser } from './grammar.js';
import { AT_END, FOREIGN, listed, shownToken } from './grammar-messages.js';
import { Close, LITMUS_LEXER, Name, Not, Open } from './tokens.js';
import { nearest } from '../../input/nearest.js';
import { QUESTION_WORDS, conditionOf, fileOf, spanOfToken } from './tree.js';

/** A mistake. Lines and columns count from 1. */
export interface Mistake extends Span {
  readonly message: string;
}

/** Either the file, or at least one mistake. */
interface Parsed {
  readonly file: LitmusFile | null;
  readonly mistakes: readonly Mistake[];
}

/** Characters of a file at most: ten thousand times a usual one would be no litmus test. */
export const LITMUS_CHARS_MAX = 1 << 20;
/** Mistakes of one file that are told. */
export const MISTAKES_MAX = 20;
/** Characters of a name. */
const NAME_MAX = 100;
/** Parentheses and `~` inside one another: a parser that calls itself for each needs stack for it. */
const DEPTH_MAX = 100;

let parser: LitmusParser | undefined;

/** @param text of the file; line ends of any kind, tabs, and a missing last line end are fine */
export function parseLitmus(text: string): Parsed {
  const source = text.startsWith('\ufeff') ? text.slice(1) : text;
  const unfit = unfitness(source);
  if (unfit !== null)
    return { file: null, mistakes: [{ line: 1, column: 1, endLine: 1, endColumn: 1, message: unfit }] };
  parser ??= new LitmusParser();
  const { tokens, errors } = LITMUS_LEXER.tokenize(source.replace(/\r\n?/g, '\n'));
  const deep = beyondLimits(tokens);
  if (deep !== null) return { file: null, mistakes: [deep] };
  parser.input = tokens;
  const tree = parser.file();
  const unread = errors.map(lexingMistake);
  // what is behind a sentence without an end, or beside a sign that is none, is not told
  const open = unread.some(({ message }) => message.includes('closing'));
  const rest = open ? [] : firstOfEachPlace(parser.errors, tokens);
  const mistakes = [...unread, ...rest.filter(({ line }) => !unread.some((each) => each.line === line))];
  if (mistakes.length > 0) return { file: null, mistakes: sorted(mistakes).slice(0, MISTAKES_MAX) };
  return { file: fileOf(tree), mistakes: [] };
}

/** Reads a condition by itself, such as `(p > 0)`. */
export function parseCondition(text: string): {
  readonly condition: Condition | null;
  readonly mistakes: readonly Mistake[];
} {
  parser ??= new LitmusParser();
  const { tokens, errors } = LITMUS_LEXER.tokenize(text);
  const deep = beyondLimits(tokens);
  if (deep !== null) return { condition: null, mistakes: [deep] };
  parser.input = tokens;
  const tree = parser.condition();
  const mistakes = [...errors.map(lexingMistake), ...firstOfEachPlace(parser.errors, tokens)];
  return mistakes.length > 0 ? { condition: null, mistakes } : { condition: conditionOf(tree), mistakes };
}

/** The first name that is too long, or sign that is nested too deeply, as a mistake. */
function beyondLimits(tokens: readonly IToken[]): Mistake | null {
  let depth = 0;
  let nots = 0;
  for (const token of tokens) {
    if (token.tokenType === Name && token.image.length > NAME_MAX) {
      const { image } = token;
      return {
        ...spanOfToken(token),
        message: `expected a name of at most ${NAME_MAX} characters, got ${shownToken(image)}`,
      };
    }
    if (token.tokenType === Open) depth++;
    else if (token.tokenType === Close) depth--;
    nots = token.tokenType === Not ? nots + 1 : token.tokenType === Open ? nots : 0;
    if (depth + nots > DEPTH_MAX) {
      const message = `expected at most ${DEPTH_MAX} '(' and '~' inside one another`;
      return { ...spanOfToken(token), message };
    }
  }
  return null;
}

/** What no litmus file can be, or null. */
function unfitness(text: string): string | null {
  if (text.includes('\0')) return 'expected a litmus file, got binary data';
  if (text.length > LITMUS_CHARS_MAX) {
    return `expected a litmus file of at most ${LITMUS_CHARS_MAX} characters, got ${text.length}`;
  }
  return text.trim() === '' ? "expected 'litmus', got an empty file" : null;
}

export const sorted = (mistakes: readonly Mistake[]): Mistake[] =>
  mistakes.toSorted((a, b) => a.line - b.line || a.column - b.column);

function lexingMistake({ line, column, message, length }: ILexingError): Mistake {
  const at = { line: line ?? 1, column: column ?? 1, endLine: line ?? 1, endColumn: (column ?? 1) + length };
  const image = /->(.*)<-/s.exec(message)?.[1] ?? '';
  return image === '"'
    ? { ...at, message: "expected a closing '\"' for the one that opens here, got the end of the file" }
    : { ...at, message: `expected ${FOREIGN[image] ?? 'a name, a number or a sign'}, got ${shownToken(image)}` };
}

/** The place behind the last token. */
function endOf(tokens: readonly IToken[]): Span {
  const last = tokens.at(-1);
  if (last === undefined) return { line: 1, column: 1, endLine: 1, endColumn: 1 };
  const { endLine: line, endColumn: column } = spanOfToken(last);
  return { line, column, endLine: line, endColumn: column };
}

/** Which part of the file a mistake is in. */
function partOf({ context }: IRecognitionException): 'row' | 'question' | 'frame' {
  if (context.ruleStack.includes('question')) return 'question';
  return context.ruleStack.includes('row') || context.ruleStack.includes('initStep') ? 'row' : 'frame';
}

/** What is wrong with the word that opens the row of a mistake, where it is no operation's but may be meant for a question's. */
function misspeltQuestion(tokens: readonly IToken[], offset: number): Mistake | null {
  const before = tokens.filter(({ startOffset }) => startOffset <= offset);
  const first = before[before.findLastIndex(({ image, startOffset }) => image === ';' && startOffset < offset) + 1];
  if (first === undefined) return null;
  const { image } = first;
  if (nearest(image, QUESTION_WORDS) !== null) {
    return { ...spanOfToken(first), message: `expected ${AT_END}, got ${shownToken(image)}` };
  }
  const called = tokens[tokens.indexOf(first) + 1]?.tokenType === Open;
  if (!called || litmusOperation(image) >= 0) return null;
  const message = `expected an operation, or ${listed(QUESTION_WORDS)}, got ${shownToken(image)}`;
  return { ...spanOfToken(first), message };
}

/**
 * One mistake often leads to others: what recovery finds on the line of a mistake, or where it goes on reading, is not told, and
 * behind a mistake in the declarations or the first row only questions are looked at. The first mistake, and those on later lines of
 * rows and questions, are told.
 */
function firstOfEachPlace(errors: readonly IRecognitionException[], tokens: readonly IToken[]): Mistake[] {
  const end = endOf(tokens);
  const told: Mistake[] = [];
  let skippedTo = -1;
  let lastLine = 0;
  let lost = false;
  for (const error of errors) {
    const { token, message, resyncedTokens } = error;
    const at = token.tokenType === EOF ? end : spanOfToken(token);
    const offset = token.tokenType === EOF ? Number.MAX_SAFE_INTEGER : token.startOffset;
    const part = partOf(error);
    const misspelt = part === 'row' ? misspeltQuestion(tokens, offset) : null;
    if (misspelt !== null) {
      told.push(misspelt);
      break;
    }
    if (offset > skippedTo && at.line > lastLine && (!lost || part === 'question')) {
      told.push({ ...at, message });
      lastLine = at.line;
    }
    lost ||= part === 'frame';
    skippedTo = Math.max(skippedTo, resyncedTokens.at(-1)?.startOffset ?? 0, offset);
  }
  return told;
}
