/**
 * Ctrl-C, SIGTERM and SIGHUP (the terminal was closed), from the first moment on. The first asks the run to end with the report so far; where
 * nothing has begun it says so. A later one ends the process at once. A terminal's Ctrl-C reaches us twice through npm (from the
 * terminal and from npm): within 300 ms it counts once.
 */
import { EXIT_INCOMPLETE, EXIT_SIGNAL } from './exit-codes.js';

export const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
const SAME_KEY_MS = 300;

let first = 0;
let isListening = false;
let stopRun: (() => void) | null = null;
let words = '';

function interrupt(): void {
  const now = Date.now();
  if (first !== 0) {
    if (now - first > SAME_KEY_MS) process.exit(EXIT_SIGNAL);
    return;
  }
  first = now;
  if (stopRun === null) {
    process.stderr.write('\npinfall: stopped; there is nothing to report yet\n');
    process.exit(EXIT_INCOMPLETE);
  }
  process.stderr.write(words);
  stopRun();
}

/** Listens; whoever has asked to stop before is heard now. */
export function listen(early = 0): void {
  if (!isListening) for (const signal of SIGNALS) process.on(signal, interrupt);
  isListening = true;
  if (early > 0) interrupt();
}

/** Calls `stop` at the first interrupt. Something has begun: from now on there is a report. */
export function onInterrupt(stop: () => void, says = 'stopping; the report follows (again to end at once)'): void {
  listen();
  words = `\npinfall: ${says}\n`;
  stopRun = stop;
  if (first !== 0) stop();
}
