/**
 * Programs of Debian that tests drive: Chromium and Prometheus (`.ci/run` installs them). Where one is missing, a developer's
 * tests are skipped and say so; under CI they fail, unless it says that the program cannot be had (PINFALL_SKIP_PROGRAMS).
 */
import { existsSync } from 'node:fs';
import { describe } from 'vitest';

export const CHROMIUM = '/usr/bin/chromium';
export const PROMETHEUS = '/usr/bin/prometheus';
/** Comes with it. */
export const PROMTOOL = '/usr/bin/promtool';

/** Whether a missing program is a failure. */
export const mustHavePrograms = (): boolean =>
  process.env['CI'] !== undefined && process.env['PINFALL_SKIP_PROGRAMS'] === undefined;

/** `describe` for tests that need a program. */
export function describeWith(program: string, name: string, tests: () => void): void {
  const there = existsSync(program);
  if (there || mustHavePrograms()) describe(name, tests);
  else describe.skip(`${name} (no ${program}: apt-get install -y ${program.split('/').at(-1) ?? ''})`, tests);
}
