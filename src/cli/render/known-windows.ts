/** Known windows, for people: how often, the smallest schedule as a diagram, and that it is no violation of this kernel. */
import type { KnownWindow } from '../../lab/tell/known-windows.js';
import { pc } from './colour.js';
import { number } from './table.js';

/** @param of schedules in all */
export function knownWindowText(known: KnownWindow, of: number): string {
  const head = `${pc.yellow(pc.bold(`Known window ${known.invariant}`))} ${known.what}`;
  const count = `In ${number(known.schedules)} of ${number(of)} schedules, first in schedule ${number(known.found_in_schedule)}.`;
  return [`${head}\n${count} Real kernels do this too (src/lab/finds): counted, and no violation.`, known.diagram ?? '']
    .filter((part) => part !== '')
    .join('\n\n');
}
