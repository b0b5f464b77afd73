/** What a litmus file says, part by part, each with the place where it says so; names are not looked up yet. */

/** Lines and columns count from 1; the end is the column behind the last character. */
export interface Span {
  readonly line: number;
  readonly column: number;
  readonly endLine: number;
  readonly endColumn: number;
}

export interface Word {
  readonly text: string;
  readonly at: Span;
}

export interface Whole {
  readonly value: number;
  readonly at: Span;
}

/** `a`, `a[1]`, `a[0..1]`, `B.a[1]`; a bare name may also be anything else that has a name. */
export interface PageRef {
  readonly kind: 'page';
  readonly process: Word | null;
  readonly name: Word;
  readonly from: Whole | null;
  readonly to: Whole | null;
  readonly at: Span;
}

interface NumberRef {
  readonly kind: 'number';
  readonly value: number;
  readonly at: Span;
}

/** NAME NUMBER or NAME NAME, of `machine` and `knobs`. */
export interface Setting {
  readonly name: Word;
  readonly value: Word | Whole;
}

export type Header =
  | { readonly kind: 'kernel'; readonly name: Word; readonly at: Span }
  | { readonly kind: 'policy'; readonly name: Word; readonly at: Span }
  | { readonly kind: 'bug'; readonly name: Word; readonly at: Span }
  | { readonly kind: 'machine'; readonly settings: readonly Setting[]; readonly at: Span }
  | { readonly kind: 'knobs'; readonly settings: readonly Setting[]; readonly at: Span }
  | { readonly kind: 'inject'; readonly actor: Word; readonly nth: Whole; readonly at: Span }
  | { readonly kind: 'expect'; readonly what: 'deadlock' | 'livelock'; readonly at: Span }
  | { readonly kind: 'expect'; readonly what: 'violation'; readonly invariant: Word; readonly at: Span }
  | { readonly kind: 'steps'; readonly steps: Whole; readonly at: Span };

export interface MappingDecl {
  readonly name: Word;
  readonly kind: 'anon' | 'shared' | 'pfnmap';
  /** Of `shared`. */
  readonly object: Word | null;
  readonly pages: Whole;
  readonly flags: readonly Word[];
}

export interface ProcessDecl {
  readonly name: Word;
  readonly memlock: Whole | null;
  readonly mappings: readonly MappingDecl[];
}

export interface SlotDecl {
  readonly id: Whole;
  readonly gfn: Whole;
  readonly pages: Whole;
  readonly page: PageRef;
  readonly flags: readonly Word[];
}

export interface VmDecl {
  readonly name: Word;
  readonly process: Word;
  readonly vcpus: Whole | null;
  readonly words: readonly Word[];
  readonly slots: readonly SlotDecl[];
}

export type FramesDecl =
  | { readonly kind: 'poison'; readonly page: PageRef }
  | { readonly kind: 'unpinnable' | 'nomap'; readonly from: Whole; readonly to: Whole | null };

export type Argument = PageRef | NumberRef;

export interface CallExpr {
  readonly name: Word;
  readonly args: readonly Argument[];
  readonly at: Span;
}

/** `p = pin(a)`. */
export interface Operation {
  readonly result: Word | null;
  readonly call: CallExpr;
  readonly at: Span;
}

/** `A`, `G` or `G.1`. */
export interface Who {
  readonly name: Word;
  readonly vcpu: Whole | null;
}

export interface ActorDecl {
  readonly name: Word;
  readonly of: Who | null;
  readonly node: Whole | null;
  readonly at: Span;
}

export interface InitStep {
  readonly result: Word | null;
  readonly who: Who;
  readonly call: CallExpr;
}

export interface Row {
  readonly cells: readonly (Operation | null)[];
  readonly at: Span;
}

export type Value =
  | NumberRef
  | PageRef
  /** `-EFAULT`. */
  | { readonly kind: 'minus'; readonly name: Word; readonly at: Span }
  /** `cpu0:p`. */
  | { readonly kind: 'result'; readonly actor: Word; readonly name: Word; readonly at: Span }
  | { readonly kind: 'term'; readonly name: Word; readonly args: readonly Value[]; readonly at: Span };

const RELATIONS = ['==', '!=', '<', '<=', '>', '>='] as const;
export type RelationSign = (typeof RELATIONS)[number];

export type Condition =
  | { readonly kind: 'or' | 'and'; readonly of: readonly Condition[] }
  | { readonly kind: 'not'; readonly of: Condition }
  | {
      readonly kind: 'compare';
      readonly left: Value;
      readonly relation: RelationSign;
      readonly right: Value;
      readonly at: Span;
    };

export type QuestionWord = 'exists' | 'forbidden' | 'sometimes' | 'always';

export interface QuestionDecl {
  readonly word: QuestionWord;
  readonly during: boolean;
  readonly condition: Condition;
  readonly at: Span;
}

export interface LitmusFile {
  readonly name: Word;
  readonly sentence: string;
  readonly headers: readonly Header[];
  readonly processes: readonly ProcessDecl[];
  readonly vms: readonly VmDecl[];
  readonly frames: readonly FramesDecl[];
  readonly init: readonly InitStep[];
  readonly actors: readonly ActorDecl[];
  readonly rows: readonly Row[];
  readonly questions: readonly QuestionDecl[];
}
