/**
 * Ctrl-C, SIGTERM and SIGHUP (the terminal was closed). The first asks the run to end with the report so far; a later one ends the process at once. A
 * terminal's Ctrl-C reaches us twice through npm (from the terminal and from npm): within 300 ms it counts once.
 */
const SAME_KEY_MS = 300;

/** Calls `stop` at the first interrupt. */
export function onInterrupt(stop: () => void): void {
  let first = 0;
  const interrupt = (): void => {
    const now = Date.now();
    if (first === 0) {
      first = now;
      process.stderr.write('\npinfall: stopping; the report follows (again to end at once)\n');
      stop();
    } else if (now - first > SAME_KEY_MS) {
      process.exit(130);
    }
  };
  process.on('SIGINT', interrupt);
  process.on('SIGTERM', interrupt);
  process.on('SIGHUP', interrupt);
}
