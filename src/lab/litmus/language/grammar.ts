/**
 * The grammar (README.md, "Grammar"), rule by rule, for chevrotain. One token of lookahead decides everywhere; the few places
 * that need two have a gate. Where a keyword may be a name, the sign behind it tells.
 */
import { ConditionRules } from './grammar-conditions.js';
import { wants } from './grammar-messages.js';
import {
  At,
  Bar,
  Close,
  CloseBrace,
  Colon,
  Comma,
  Dot,
  Equals,
  K,
  Name,
  Num,
  Open,
  OpenBrace,
  Range,
  Semicolon,
  Text,
  isQuestionWord,
} from './tokens.js';

export class LitmusParser extends ConditionRules {
  constructor() {
    super();
    this.performSelfAnalysis();
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
}
