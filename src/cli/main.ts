#!/usr/bin/env node
/**
 * pinfall's command line. It loads the rest itself, so that a signal is heard, and a failure is one of ours, from the first moment on: what
 * no command has caught ends with 3, never with Node's 1, which means a violation.
 */
const INTERNAL = 3;

/** What the machine has too little of: no fault of ours that a stack would explain. */
const SHORT: Readonly<Record<string, string>> = {
  EMFILE: 'too many open files for this process (ulimit -n)',
  ENFILE: 'too many open files on this machine',
  ENOMEM: 'no memory left',
};

function fail(error: unknown): never {
  const short = error instanceof Error && 'code' in error ? SHORT[String(error.code)] : undefined;
  if (short !== undefined) {
    process.stderr.write(`pinfall: internal failure: ${short}\n`);
    process.exit(INTERNAL);
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  // with no open file left the name of the error is all there is
  process.stderr.write(`pinfall: internal failure: ${text.replaceAll('\u001b', '\\u001b')}\n`);
  process.exit(INTERNAL);
}

process.on('uncaughtException', fail);

let early = 0;
const count = (): void => void early++;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
for (const signal of SIGNALS) process.on(signal, count);

try {
  const { listen } = await import('./interrupt.js');
  listen(early);
  for (const signal of SIGNALS) process.off(signal, count);
  const { run } = await import('./program.js');
  // worker threads and timers of a run that has ended must not keep the process: everything is written by now
  process.exit(await run(process.argv.slice(2)));
} catch (error) {
  fail(error);
}
