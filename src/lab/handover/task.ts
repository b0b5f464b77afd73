/** A violation's search on a worker thread of low priority: a short Piscina task. */
import { setPriority } from 'node:os';
import { type HandoverOptions, handOver } from './handover.js';
import type { Handover } from '../report/handover-row.js';

export interface HandoverTask extends Pick<HandoverOptions, 'plan' | 'records' | 'violation' | 'base' | 'ending'> {
  readonly seconds: number;
  /** Word 0: not 0 = the search ends. */
  readonly control: SharedArrayBuffer;
}

/** A nice value, on Linux of this thread alone: beside actors that spin it still gets a tenth of a processor. */
const LOW = 10;

export default function handoverTask({ control, ...options }: HandoverTask): Promise<Handover> {
  try {
    setPriority(0, LOW);
  } catch {
    // a system that does not let us: the search runs as everybody else does
  }
  const word = new Int32Array(control);
  return handOver({ ...options, stop: () => Atomics.load(word, 0) !== 0 });
}
