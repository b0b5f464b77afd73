/** What the parser says of a mistake: `expected X, got 'Y'`. */
import { EOF, type IParserErrorMessageProvider, type IToken, type TokenType, tokenLabel } from 'chevrotain';

/** How a token is shown in a message: short, and nothing that a terminal would act on. */
export function shownToken(image: string): string {
  const plain = image.replace(/[\p{C}\p{Z}]/gu, (sign) => (sign === ' ' ? sign : '?'));
  return `'${plain.length > 32 ? `${plain.slice(0, 29)}...` : plain}'`;
}

const got = (token: IToken): string => (token.tokenType === EOF ? 'the end of the file' : shownToken(token.image));

/** `a, b or c`. */
export function listed(words: readonly string[]): string {
  return words.length < 2 ? (words[0] ?? '') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
}

const oneOf = (types: readonly TokenType[]): string => listed([...new Set(types.map((type) => tokenLabel(type)))]);

/** What may stand behind the rows. */
export const AT_END = 'a question or the end of the file';

/** Signs of other languages, and what they are here. */
export const FOREIGN: Readonly<Record<string, string>> = {
  '&&': "'/\\' or 'and'",
  '||': "'\\/' or 'or'",
  '!': "'~' or 'not'",
  '∧': "'/\\' or 'and'",
  '∨': "'\\/' or 'or'",
  '¬': "'~' or 'not'",
};

export const MESSAGES: IParserErrorMessageProvider = {
  buildMismatchTokenMessage: ({ expected, actual }) =>
    `expected ${FOREIGN[actual.image] ?? (expected === EOF ? AT_END : tokenLabel(expected))}, got ${got(actual)}`,
  buildNotAllInputParsedMessage: ({ firstRedundant }) => `expected ${AT_END}, got ${got(firstRedundant)}`,
  buildNoViableAltMessage: ({ expectedPathsPerAlt, actual, customUserDescription }) => {
    const first = expectedPathsPerAlt.flatMap((paths) => paths.map((path) => path[0] as TokenType));
    const image = actual[0]?.image ?? '';
    return `expected ${FOREIGN[image] ?? customUserDescription ?? oneOf(first)}, got ${got(actual[0] as IToken)}`;
  },
  buildEarlyExitMessage: ({ expectedIterationPaths, actual, customUserDescription }) => {
    const first = expectedIterationPaths.map((path) => path[0] as TokenType);
    const image = actual[0]?.image ?? '';
    return `expected ${FOREIGN[image] ?? customUserDescription ?? oneOf(first)}, got ${got(actual[0] as IToken)}`;
  },
};

/** A rule's own words for what it expects. */
export const wants = (what: string) => ({ ERR_MSG: what });
