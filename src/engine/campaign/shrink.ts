/**
 * Makes a livelock's schedule short. Such a schedule was cut off at its step limit, and most of its steps are turns of the same
 * circle; a much lower limit leads into it as well, often 0: then fair turns from the start are enough.
 */
import { minimise } from '../one-thread/minimise.js';
import { OneThread } from '../one-thread/one-thread.js';
import type { Program } from '../one-thread/program.js';
import { ExactScript } from '../strategies/script.js';

/**
 * The shortest prefix found, of 0, 1, 2, 4, ... steps, that the fair phase does not get out of again, with few switches.
 * @param end what the schedule comes to (`thread.endText`)
 * @returns a thread with that step limit, and its choices
 */
export function shrinkLivelock(
  program: Program,
  variation: number,
  choices: Uint8Array,
  end: string,
): { readonly thread: OneThread; readonly choices: Uint8Array } {
  for (let limit = 0; limit < choices.length; limit = limit === 0 ? 1 : limit * 2) {
    const thread = new OneThread(program, limit);
    const prefix = choices.slice(0, limit);
    const script = new ExactScript().load(prefix, limit);
    script.begin();
    thread.run(script, variation);
    if (thread.endText === end && thread.livelock.length > 0) {
      return { thread, choices: limit === 0 ? prefix : minimise(thread, variation, prefix, end) };
    }
  }
  return { thread: new OneThread(program, choices.length), choices };
}
