/**
 * Runs pinfall as a user does, in a process of its own. Whatever it prints as JSON, and whatever it writes with `--report`, is held to the
 * schema of reports: a field that is unknown, missing or of another kind fails the test.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { REPORT_SCHEMA } from '#src/lab/report/run-row.js';
import { reportMistakes } from '#src/lab/report/schema.js';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
export const MAIN = fileURLToPath(new URL('../../dist/src/cli/main.js', import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly signal: string | null;
  readonly out: string;
  readonly err: string;
}

/** What has no schema of its own: lists, and tables of benches. */
const OTHERS = new Set(['list/1', 'list/rebuilt', 'zoo/1', 'bench/1', 'handover/1'].map((name) => `pinfall.${name}`));

/** @throws Error where `json` is a report, and none that the schema knows */
function hold(json: string, where: string): void {
  let report: unknown;
  try {
    report = JSON.parse(json);
  } catch {
    return; // words for people, or cut off by a reader who went away
  }
  if (typeof report !== 'object' || report === null || !('schema' in report)) return;
  const { schema } = report;
  if (typeof schema !== 'string' || !schema.startsWith('pinfall.') || OTHERS.has(schema)) return;
  const mistakes = schema === REPORT_SCHEMA ? reportMistakes(report) : [`schema: ${schema} is not known`];
  if (mistakes.length > 0) throw new Error(`${where} is no report as its schema has it:\n${mistakes.join('\n')}`);
}

/** As {@link hold}, for the file of `--report`, where one was written. */
function holdFiles(args: readonly string[], folder: string): void {
  for (const [, name = ''] of args.join(' ').matchAll(/--report[ =](\S+)/g)) {
    const path = resolve(folder, name);
    if (statSync(path, { throwIfNoEntry: false })?.isFile() === true) hold(readFileSync(path, 'utf8'), name);
  }
}

/** Starts a command; `done` resolves when the process and both its pipes have ended. */
export function start(command: string, args: readonly string[], env: Record<string, string> = {}, cwd = ROOT) {
  const child = spawn(command, args, {
    cwd,
    // where npm was started is no business of these, unless they say so
    env: { ...process.env, INIT_CWD: cwd, FORCE_COLOR: '', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let out = '';
  let err = '';
  child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
  const done = once(child, 'close').then(([code, signal]): Ended => {
    hold(out, args.join(' '));
    holdFiles(args, env['INIT_CWD'] ?? cwd);
    return { code: code as number | null, signal: signal as string | null, out, err };
  });
  return { child, done };
}

/** `pinfall <args>`. */
export const pinfall = (...args: string[]): Promise<Ended> => start(process.execPath, [MAIN, ...args]).done;
