/** A litmus file as it was handed in: its text, and where it stands. */
import type { CompileOptions } from './compile.js';

/** What a litmus test's subject is made from; plain data. */
export interface LitmusSource {
  /** The file's path as it was given: for messages and schedule files. */
  readonly path: string;
  readonly text: string;
  readonly options: CompileOptions;
  /** The text is part of a schedule file, behind so many lines of it: mistakes are told by their places there. */
  readonly within?: { readonly path: string; readonly lines: number } | undefined;
}
