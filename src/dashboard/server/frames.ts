/** The last minute of each guest's memory: a byte per page, a frame a second. */
import { PAGE_STATES } from '../../lab/live/types.js';

export interface Frame {
  readonly frame: number;
  readonly at_s: number;
  readonly bytes: Uint8Array;
}

/** Frames kept of each guest. */
const FRAMES_KEPT = 60;

export class Frames {
  readonly #byVm = new Map<number, Frame[]>();
  #next = 1;

  /** Keeps a look at a guest; the oldest goes. */
  add(vm: number, at_s: number, bytes: Uint8Array): Frame {
    let frames = this.#byVm.get(vm);
    if (frames === undefined) this.#byVm.set(vm, (frames = []));
    const frame = { frame: this.#next++, at_s, bytes };
    frames.push(frame);
    if (frames.length > FRAMES_KEPT) frames.shift();
    return frame;
  }

  get(vm: number, frame: number): Frame | undefined {
    return this.#byVm.get(vm)?.find((each) => each.frame === frame);
  }

  newest(vm: number): Frame | undefined {
    return this.#byVm.get(vm)?.at(-1);
  }

  oldest(vm: number): Frame | undefined {
    return this.#byVm.get(vm)?.[0];
  }

  clear(): void {
    this.#byVm.clear();
  }
}

/** Pages in each state. */
export function countStates(bytes: Uint8Array): number[] {
  const counts = PAGE_STATES.map(() => 0);
  for (let i = 0; i < bytes.length; i++) {
    const state = bytes[i] as number;
    counts[state] = (counts[state] ?? 0) + 1;
  }
  return counts;
}
