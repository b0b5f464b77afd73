/** A clash, as reports have it. */
import type { Sureness } from '../clash/cause.js';

/** One of the two steps. */
export interface ClashStep {
  readonly actor: string;
  /** From 1. */
  readonly step: number;
  /** `acquire PTL of table 0`: what it does to which word. */
  readonly does: string;
  /** What the word held before it, and after it. */
  readonly found: number;
  readonly left: number;
  /** `changePteRange (src/mm/mprotect/ptes.ts:71)`; empty where it is not known. */
  readonly at: string;
  /** The calls around it, the outermost first: function names. */
  readonly calls: readonly string[];
  /** Locks its actor held. */
  readonly held: readonly string[];
}

export interface Clash {
  /** In the order in which they ran. */
  readonly steps: readonly [ClashStep, ClashStep];
  readonly sure: Sureness;
  /** How many pairs would each have avoided it, this one among them; 0: it takes no race. */
  readonly depth: number;
  /** What that rests on, in a sentence each. */
  readonly why: readonly string[];
  /** One sentence: which order would have been well, and what comes of it. */
  readonly avoided: string;
}
