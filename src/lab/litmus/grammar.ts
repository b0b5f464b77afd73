/**
 * The grammar (README.md, "Grammar"), rule by rule, for chevrotain. One token of lookahead decides everywhere; the few places
 * that need two have a gate. Where a keyword may be a name, the sign behind it tells.
 */
import { CstParser, EOF, type IParserErrorMessageProvider, type IToken, type TokenType, tokenLabel } from 'chevrotain';
import {
  And,
  At,
  Bar,
  Close,
  CloseBrace,
  CloseIndex,
  Colon,
  Comma,
  Dot,
  Equals,
  K,
  Minus,
  Name,
  Not,
  Num,
  Open,
  OpenBrace,
  OpenIndex,
  Or,
  Range,
  Relation,
  Semicolon,
  TOKENS,
  Text,
  isQuestionWord,
} from './tokens.js';

/** How a token is shown in a message: short, and nothing that a terminal would act on. */
export function shownToken(image: string): string {
  const plain = image.replace(/[^ -~]/g, '?');
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
const FOREIGN: Readonly<Record<string, string>> = {
  '&&': "'/\\' or 'and'",
  '||': "'\\/' or 'or'",
  '!': "'~' or 'not'",
};

const MESSAGES: IParserErrorMessageProvider = {
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

/** A mistake at one place. */
const wants = (what: string) => ({ ERR_MSG: what });

export class LitmusParser extends CstParser {
  constructor() {
    super([...TOKENS], {
      maxLookahead: 1,
      recoveryEnabled: true,
      errorMessageProvider: MESSAGES,
      nodeLocationTracking: 'full',
    });
    this.performSelfAnalysis();
  }

  /** A sign that is put in where it is missing makes a second mistake of one: reading goes on behind the statement instead. */
  protected override canTokenTypeBeInsertedInRecovery(): boolean {
    return false;
  }

  /** Whether a keyword opens its part here, rather than being an actor's name in the first row. */
  #opens(): boolean {
    const next = this.LA(2).tokenType;
    const placed = next === K.node && this.LA(3).tokenType === Num;
    return next !== At && next !== Bar && next !== Semicolon && !placed;
  }

  readonly file = this.RULE('file', () => {
    this.CONSUME(K.litmus);
    this.CONSUME(Name);
    this.CONSUME(Text);
    this.MANY({ GATE: () => this.#opens(), DEF: () => this.SUBRULE(this.declaration) });
    this.SUBRULE(this.actors);
    this.MANY1({ GATE: () => !this.#atQuestion(), DEF: () => this.SUBRULE(this.row) });
    this.MANY2(() => this.SUBRULE(this.question));
  });

  #atQuestion(): boolean {
    return isQuestionWord(this.LA(1)) && this.LA(2).tokenType !== Equals;
  }

  /** Names may be used before they are declared, so the order is free. */
  readonly declaration = this.RULE('declaration', () => {
    this.OR([
      { ALT: () => this.SUBRULE(this.header) },
      { ALT: () => this.SUBRULE(this.process) },
      { ALT: () => this.SUBRULE(this.vm) },
      { ALT: () => this.SUBRULE(this.frames) },
      { ALT: () => this.SUBRULE(this.init) },
    ]);
  });

  readonly header = this.RULE('header', () => {
    this.OR([
      {
        ALT: () => {
          this.CONSUME(K.kernel);
          this.SUBRULE(this.version);
        },
      },
      {
        ALT: () => {
          this.CONSUME(K.policy);
          this.CONSUME(Name);
        },
      },
      {
        ALT: () => {
          this.CONSUME(K.bug);
          this.CONSUME1(Name);
        },
      },
      {
        ALT: () => {
          this.OR1([{ ALT: () => this.CONSUME(K.machine) }, { ALT: () => this.CONSUME(K.knobs) }]);
          this.AT_LEAST_ONE_SEP({ SEP: Comma, DEF: () => this.SUBRULE(this.setting) });
        },
      },
      {
        ALT: () => {
          this.CONSUME(K.inject);
          this.CONSUME(K.alloc);
          this.CONSUME2(Name);
          this.CONSUME(Num);
        },
      },
      {
        ALT: () => {
          this.CONSUME(K.expect);
          this.OR2([
            {
              ALT: () => {
                this.CONSUME(K.violation);
                this.CONSUME3(Name);
              },
            },
            { ALT: () => this.CONSUME(K.deadlock) },
            { ALT: () => this.CONSUME(K.livelock) },
          ]);
        },
      },
      {
        ALT: () => {
          this.CONSUME(K.steps);
          this.CONSUME1(Num);
        },
      },
    ]);
  });

  readonly version = this.RULE('version', () => {
    this.OR({ ...wants("a kernel version such as 'v5.17'"), DEF: [{ ALT: () => this.CONSUME(Name) }] });
    this.CONSUME(Dot);
    this.CONSUME(Num);
  });

  readonly setting = this.RULE('setting', () => {
    this.CONSUME(Name);
    this.OR({
      ...wants('a number or a word'),
      DEF: [{ ALT: () => this.CONSUME(Num) }, { ALT: () => this.CONSUME1(Name) }],
    });
  });

  readonly process = this.RULE('process', () => {
    this.CONSUME(K.process);
    this.CONSUME(Name);
    this.OPTION(() => {
      this.CONSUME(K.memlock);
      this.CONSUME(Num);
    });
    this.OR({
      ...wants("';' or '{'"),
      DEF: [
        { ALT: () => this.CONSUME(Semicolon) },
        {
          ALT: () => {
            this.CONSUME(OpenBrace);
            this.MANY(() => this.SUBRULE(this.mapping));
            this.CONSUME(CloseBrace);
          },
        },
      ],
    });
  });

  readonly mapping = this.RULE('mapping', () => {
    this.CONSUME(Name);
    this.CONSUME(Colon);
    this.OR({
      ...wants("'anon', 'shared' or 'pfnmap'"),
      DEF: [
        { ALT: () => this.CONSUME(K.anon) },
        {
          ALT: () => {
            this.CONSUME(K.shared);
            this.SUBRULE(this.object);
          },
        },
        { ALT: () => this.CONSUME(K.pfnmap) },
      ],
    });
    this.CONSUME(Num);
    this.MANY({ GATE: () => this.LA(2).tokenType !== Colon, DEF: () => this.SUBRULE(this.flag) });
  });

  readonly object = this.RULE('object', () => void this.CONSUME(Name));
  readonly flag = this.RULE('flag', () => void this.CONSUME(Name));

  readonly vm = this.RULE('vm', () => {
    this.CONSUME(K.vm);
    this.CONSUME(Name);
    this.CONSUME(K.of);
    this.CONSUME1(Name);
    this.OPTION(() => {
      this.CONSUME(K.vcpus);
      this.CONSUME(Num);
    });
    this.MANY(() => {
      this.OR([{ ALT: () => this.CONSUME(K.protected) }, { ALT: () => this.CONSUME(K.unborn) }]);
    });
    this.CONSUME(OpenBrace);
    this.MANY1(() => this.SUBRULE(this.slot));
    this.CONSUME(CloseBrace);
  });

  readonly slot = this.RULE('slot', () => {
    this.CONSUME(K.slot);
    this.CONSUME(Num);
    this.CONSUME(Colon);
    this.CONSUME(K.gfn);
    this.CONSUME1(Num);
    this.CONSUME(K.pages);
    this.CONSUME2(Num);
    this.CONSUME(K.at);
    this.SUBRULE(this.page);
    this.MANY({
      GATE: () => !(this.LA(1).tokenType === K.slot && this.LA(2).tokenType === Num),
      DEF: () => this.SUBRULE(this.flag),
    });
  });

  readonly frames = this.RULE('frames', () => {
    this.OR([
      {
        ALT: () => {
          this.CONSUME(K.poison);
          this.SUBRULE(this.page);
        },
      },
      {
        ALT: () => {
          this.OR1([{ ALT: () => this.CONSUME(K.unpinnable) }, { ALT: () => this.CONSUME(K.nomap) }]);
          this.CONSUME(Num);
          this.OPTION(() => {
            this.CONSUME(Range);
            this.CONSUME1(Num);
          });
        },
      },
    ]);
    this.CONSUME(Semicolon);
  });

  readonly init = this.RULE('init', () => {
    this.CONSUME(K.init);
    this.CONSUME(OpenBrace);
    this.MANY(() => this.SUBRULE(this.initStep));
    this.CONSUME(CloseBrace);
  });

  readonly initStep = this.RULE('initStep', () => {
    this.OPTION({
      GATE: () => this.LA(2).tokenType === Equals,
      DEF: () => {
        this.CONSUME(Name);
        this.CONSUME(Equals);
      },
    });
    this.SUBRULE(this.who);
    this.CONSUME(Colon);
    this.SUBRULE(this.call);
    this.CONSUME(Semicolon);
  });

  readonly who = this.RULE('who', () => {
    this.CONSUME(Name);
    this.OPTION(() => {
      this.CONSUME(Dot);
      this.CONSUME(Num);
    });
  });

  readonly actors = this.RULE('actors', () => {
    this.SUBRULE(this.actor);
    this.MANY(() => {
      this.CONSUME(Bar);
      this.SUBRULE1(this.actor);
    });
    this.CONSUME(Semicolon);
  });

  readonly actor = this.RULE('actor', () => {
    this.OR({ ...wants("an actor such as 'cpu0@A'"), DEF: [{ ALT: () => this.CONSUME(Name) }] });
    this.OPTION(() => {
      this.CONSUME(At);
      this.SUBRULE(this.who);
    });
    this.OPTION1(() => {
      this.CONSUME(K.node);
      this.CONSUME(Num);
    });
  });

  readonly row = this.RULE('row', () => {
    this.SUBRULE(this.cell);
    this.MANY(() => {
      this.CONSUME(Bar);
      this.SUBRULE1(this.cell);
    });
    this.CONSUME(Semicolon);
  });

  readonly cell = this.RULE('cell', () => {
    this.OPTION(() => this.SUBRULE(this.operation));
  });

  readonly operation = this.RULE('operation', () => {
    this.OPTION({
      GATE: () => this.LA(2).tokenType === Equals,
      DEF: () => {
        this.CONSUME(Name);
        this.CONSUME(Equals);
      },
    });
    this.SUBRULE(this.call);
  });

  readonly call = this.RULE('call', () => {
    this.CONSUME(Name);
    this.CONSUME(Open);
    this.MANY_SEP({ SEP: Comma, DEF: () => this.SUBRULE(this.argument) });
    this.CONSUME(Close);
  });

  readonly argument = this.RULE('argument', () => {
    this.OR({
      ...wants('a page, a number or a name'),
      DEF: [
        {
          ALT: () => {
            this.OPTION(() => this.CONSUME(Minus));
            this.CONSUME(Num);
          },
        },
        { ALT: () => this.SUBRULE(this.page) },
      ],
    });
  });

  readonly page = this.RULE('page', () => {
    this.OPTION({
      GATE: () => this.LA(2).tokenType === Dot,
      DEF: () => {
        this.SUBRULE(this.owner);
        this.CONSUME(Dot);
      },
    });
    this.CONSUME(Name);
    this.OPTION1(() => {
      this.CONSUME(OpenIndex);
      this.CONSUME(Num);
      this.OPTION2(() => {
        this.CONSUME(Range);
        this.CONSUME1(Num);
      });
      this.CONSUME(CloseIndex);
    });
  });

  readonly owner = this.RULE('owner', () => void this.CONSUME(Name));

  readonly question = this.RULE('question', () => {
    this.OR([
      { ALT: () => this.CONSUME(K.exists) },
      { ALT: () => this.CONSUME(K.forbidden) },
      { ALT: () => this.CONSUME(K.sometimes) },
      { ALT: () => this.CONSUME(K.always) },
    ]);
    this.OPTION(() => this.CONSUME(K.during));
    this.CONSUME(Open);
    this.SUBRULE(this.condition);
    this.CONSUME(Close);
  });

  readonly condition = this.RULE('condition', () => {
    this.AT_LEAST_ONE_SEP({ ...wants('a condition'), SEP: Or, DEF: () => this.SUBRULE(this.clause) });
  });

  readonly clause = this.RULE('clause', () => {
    this.AT_LEAST_ONE_SEP({ ...wants('a condition'), SEP: And, DEF: () => this.SUBRULE(this.factor) });
  });

  readonly factor = this.RULE('factor', () => {
    this.OR({
      ...wants('a condition'),
      DEF: [
        {
          ALT: () => {
            this.CONSUME(Not);
            this.SUBRULE(this.factor);
          },
        },
        {
          ALT: () => {
            this.CONSUME(Open);
            this.SUBRULE(this.condition);
            this.CONSUME(Close);
          },
        },
        {
          ALT: () => {
            this.SUBRULE(this.value);
            this.CONSUME(Relation);
            this.SUBRULE1(this.value);
          },
        },
      ],
    });
  });

  readonly value = this.RULE('value', () => {
    this.OR({
      ...wants('a number, a result or a term'),
      DEF: [
        {
          ALT: () => {
            this.CONSUME(Minus);
            this.OR1({
              ...wants('a number or an error name'),
              DEF: [{ ALT: () => this.CONSUME(Num) }, { ALT: () => this.CONSUME(Name) }],
            });
          },
        },
        { ALT: () => this.CONSUME1(Num) },
        { GATE: () => this.LA(2).tokenType === Colon, ALT: () => this.SUBRULE(this.result) },
        { GATE: () => this.LA(2).tokenType === Open, ALT: () => this.SUBRULE(this.term) },
        { ALT: () => this.SUBRULE(this.page) },
      ],
      IGNORE_AMBIGUITIES: true,
    });
  });

  readonly result = this.RULE('result', () => {
    this.SUBRULE(this.owner);
    this.CONSUME(Colon);
    this.CONSUME(Name);
  });

  readonly term = this.RULE('term', () => {
    this.CONSUME(Name);
    this.CONSUME(Open);
    this.MANY_SEP({ SEP: Comma, DEF: () => this.SUBRULE(this.value) });
    this.CONSUME(Close);
  });
}
