/**
 * The machine's memory, for those who use it: the machine, the constants and accessors printed from its rows, and what its words may
 * hold. The rows, and what else is made of them, are in layout/.
 */
export * from './layout/generated.js';
export { Machine } from './layout/machine.js';
export * from './layout/special.js';
export * from './layout/values.js';
