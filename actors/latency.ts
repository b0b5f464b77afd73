/** Latencies of operations, by the host's clock. */
export { noteLatency } from '../src/machine/stats.js';
