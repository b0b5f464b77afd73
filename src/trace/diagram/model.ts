/** A race diagram as a value: what it is asked for, and what it comes to. */
import type { Violation } from '../../oracle/violation.js';
import type { DiagramFocus } from './focus.js';

/** One line of an actor's column. */
export interface DiagramLine {
  /** Depth of nesting, 0 = outermost. */
  readonly indent: number;
  readonly text: string;
  /** Printed behind `<--`; often empty. */
  readonly note: string;
}

/** Steps at one time: of one actor, or concurrent ones of several. */
export interface DiagramRow {
  readonly time: number;
  readonly cells: readonly DiagramCell[];
}

export interface Diagram {
  /** The columns. */
  readonly actors: readonly { readonly actor: number; readonly title: string }[];
  readonly rows: readonly DiagramRow[];
  /** Steps that mattered and were left out, since there were too many before the first row. */
  readonly earlier: number;
  /** Actors left out, since there is no room for their columns. */
  readonly otherActors: readonly string[];
  /** What a reader must know of what is not in it: a sentence each. */
  readonly remarks?: readonly string[] | undefined;
  /** The last line: what went wrong. Empty when nothing did. */
  readonly verdict: string;
}

/** A step that is no event: what it does, and a note. */
export interface DiagramMark {
  readonly time: number;
  readonly actor: number;
  /** A line above it, of the function that it is done in; empty or absent: none. */
  readonly inside?: string | undefined;
  readonly text: string;
  readonly note: string;
  /** What matters least is left out first where there is no room: 0, the default, never. */
  readonly rank?: number | undefined;
  /** Of a store: the kind of its word. An event that tells of it stands in its place. */
  readonly tells?: string | undefined;
}

/** An operation that somebody has asked an actor to do. */
export interface DiagramOperation {
  /** As it was written: `p = pin(a, LONGTERM)`. */
  readonly text: string;
  /** Its result in words; empty where that says nothing. */
  readonly result: (value: number) => string;
  /** The pages that it names; none: it may be about any. */
  readonly pages?: readonly DiagramFocus[] | undefined;
}

export interface DiagramOptions {
  /** The pages in question; the violation's by default. Without one, all but noise is shown. */
  readonly focus?: DiagramFocus | readonly DiagramFocus[] | undefined;
  /** `focus` has all names of the pages: a frame's other uses, before and after, are other pages' business. */
  readonly exact?: boolean | undefined;
  /** What it leads up to. */
  readonly violation?: Violation | undefined;
  /** Steps shown at most. */
  readonly maxRows?: number | undefined;
  /** log2 of the pages of a huge page, so that events of a whole one count for each of its pages. */
  readonly thpOrder?: number | undefined;
  /** Actors shown at most, 1 to 4: those of the violation first. */
  readonly columns?: number | undefined;
  /** Steps that are no events and matter all the same. */
  readonly marks?: readonly DiagramMark[] | undefined;
  /** By actor, the operations that its events number. */
  readonly operations?: readonly (readonly DiagramOperation[])[] | undefined;
  /** Actors that have a column whatever they do: whom the outcome is about. */
  readonly named?: readonly number[] | undefined;
  /** Of one-thread runs: who did step 1, step 2 and so on. An operation begins with its first step. */
  readonly choices?: ArrayLike<number> | undefined;
  /** What a reader must know of what is not in it. */
  readonly remarks?: readonly string[] | undefined;
  /** Columns of text at most. */
  readonly width?: number | undefined;
  /** One actor's column alone: all that it does, and between its steps how many the others did. */
  readonly projection?: Projection | undefined;
}

export interface Projection {
  readonly actor: number;
  /** The schedule: who did step 1, step 2 and so on. Times of what is drawn are steps of it, from 1. */
  readonly choices: ArrayLike<number>;
}

/** What one actor did at one time. */
export interface DiagramCell {
  readonly actor: number;
  readonly lines: readonly DiagramLine[];
}
