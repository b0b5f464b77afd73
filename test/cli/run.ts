/** Runs pinfall as a user does, in a process of its own. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
export const MAIN = fileURLToPath(new URL('../../dist/src/cli/main.js', import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly signal: string | null;
  readonly out: string;
  readonly err: string;
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
  const done = once(child, 'close').then(([code, signal]): Ended => ({
    code: code as number | null,
    signal: signal as string | null,
    out,
    err,
  }));
  return { child, done };
}

/** `pinfall <args>`. */
export const pinfall = (...args: string[]): Promise<Ended> => start(process.execPath, [MAIN, ...args]).done;
