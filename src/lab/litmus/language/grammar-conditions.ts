/** The lower half of the grammar: pages, arguments, values and conditions. */
import { CstParser } from 'chevrotain';
import { MESSAGES, wants } from './grammar-messages.js';
import {
  And,
  Close,
  CloseIndex,
  Colon,
  Comma,
  Dot,
  K,
  Minus,
  Name,
  Not,
  Num,
  Open,
  OpenIndex,
  Or,
  Range,
  Relation,
  TOKENS,
} from './tokens.js';

export class ConditionRules extends CstParser {
  constructor() {
    super([...TOKENS], {
      maxLookahead: 1,
      recoveryEnabled: true,
      errorMessageProvider: MESSAGES,
      nodeLocationTracking: 'full',
    });
  }

  /** A sign that is put in where it is missing makes a second mistake of one: reading goes on behind the statement instead. */
  protected override canTokenTypeBeInsertedInRecovery(): boolean {
    return false;
  }

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
