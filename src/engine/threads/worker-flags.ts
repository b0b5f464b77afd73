/**
 * How workers of real threads are started: with this process's own options as far as a worker can have them, and with the condition by
 * which `#words` is the plain machine/words/words.ts (package.json, imports).
 */
const CONDITION = '--conditions=pinfall-threads';

/** Options that a worker takes over, and whether a value may follow as a word of its own. Others are the process's, V8's for one. */
const TAKEN = new Map([
  ['--enable-source-maps', false],
  ['--no-warnings', false],
  ['--disable-warning', true],
  ['--conditions', true],
  ['-C', true],
  ['--import', true],
  ['--require', true],
  ['-r', true],
]);

/** @param options those of the process: process.execArgv */
export function threadFlags(options: readonly string[] = process.execArgv): string[] {
  const flags: string[] = [];
  for (let i = 0; i < options.length; i++) {
    const option = options[i] as string;
    const [name = ''] = option.split('=');
    const takesValue = TAKEN.get(name);
    if (takesValue === undefined) continue;
    flags.push(option);
    const value = options[i + 1];
    if (takesValue && !option.includes('=') && value !== undefined) {
      flags.push(value);
      i++;
    }
  }
  return [...flags, CONDITION];
}
