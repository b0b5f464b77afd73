/**
 * Whether a schedule that ends at one broken rule comes to break another when it goes on: on one thread a schedule ends at the first rule
 * that breaks, real threads go on. That both are one mistake is then shown, not presumed.
 */
import { OneThread } from '../../engine/one-thread/one-thread.js';
import type { Program } from '../../engine/one-thread/program.js';
import { parseSchedule } from '../../engine/one-thread/schedule-file.js';
import { ContinuedScript } from '../../engine/strategies/continued.js';
import { random } from '../../engine/strategies/random.js';

/** Ways to go on that are tried. */
const WAYS = 200;
const DEPTH = 3;

/**
 * @param schedule text of a schedule file that breaks another rule
 * @param stop asked after each way
 */
export function goesOnTo(
  program: Program,
  schedule: string,
  invariant: string,
  seed: number,
  stop: () => boolean,
): boolean {
  const { choices, variation, stepsMax } = parseSchedule(schedule);
  const thread = new OneThread(program, stepsMax);
  thread.goesOn = true;
  const script = new ContinuedScript(choices, random.create({ seed, depth: DEPTH }));
  for (let way = 0; way < WAYS && !stop(); way++) {
    script.begin(way, program.actors.length);
    thread.run(script, variation);
    if (thread.breaches.some((breach) => breach.invariant === invariant)) return true;
  }
  return false;
}
