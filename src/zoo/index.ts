/** The zoo, in the order of the kernel model's section 6. */
import type { Bug } from './bug.js';
import { z03 } from './z03-collapse-vs-gup-fast.js';
import { z04 } from './z04-gup-fast-vs-collapse.js';
import { z15 } from './z15-dontneed-vs-numa.js';

export const BUGS: readonly Bug[] = [z03, z04, z15];

/** The bug of this id, or undefined. */
export const bugById = (id: string): Bug | undefined => BUGS.find((bug) => bug.id === id);
