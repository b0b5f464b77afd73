/** The zoo, in the order of the kernel model's section 6. */
import type { Bug } from './bug.js';

export const BUGS: readonly Bug[] = [];

/** The bug of this id, or undefined. */
export const bugById = (id: string): Bug | undefined => BUGS.find((bug) => bug.id === id);
