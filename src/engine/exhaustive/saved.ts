/** A search as plain data. */
import type { SearchCounts } from './counts.js';
import type { SavedNode } from './nodes.js';
import type { Branch, Move } from './wakeup-tree.js';

/** Where a search stands between two executions, or a part of it. */
export interface SavedSearch {
  /** Choices that lead to the node with the next branch. */
  readonly choices: Uint8Array;
  readonly nodes: readonly SavedNode[];
  /** Nodes before this one are somebody else's: what is to be tried there is reported, not done. */
  readonly own: number;
  readonly over: boolean;
  readonly counts: SearchCounts;
}

/** What is to be tried at a node that somebody else keeps. */
export interface OuterBranch {
  /** The node and the number of steps that lead to it; the move that this part of the search began with there. */
  readonly at: number;
  readonly step: number;
  readonly chosen: Move;
  readonly sequence: readonly Branch[];
}
