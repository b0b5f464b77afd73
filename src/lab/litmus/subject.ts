/** Litmus files as what is explored: read from the disk or from text, compiled, as plain data for other threads. */
import { LitmusError, InputError } from '../../errors/errors.js';
import type { LitmusSource } from './source.js';
import { existsSync, readdirSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { resolveKernel } from '../../engine/machine/kernel.js';
import { POLICIES } from '../../policies/index.js';
import { BUGS } from '../../zoo/index.js';
import { hashText } from '../../engine/one-thread/schedule-file.js';
import { readBounded } from '../input/bounded-file.js';
import { fileProblem } from '../input/file-problem.js';
import { meant } from '../input/nearest.js';
import { nearestFile } from '../input/nearest-file.js';
import type { Subject } from '../explore/explored.js';
import { type CompileOptions, type Compiled, type LitmusTest, compileLitmus } from './compile.js';
import { LITMUS_CHARS_MAX, type Mistake } from './language/parse.js';
import { LitmusProgram } from './program.js';

const LITMUS_SUFFIX = '.litmus';

/** Whether a scenario's name is that of a litmus file. */
export const isLitmus = (name: string): boolean => name.endsWith(LITMUS_SUFFIX);

/**
 * The text of a litmus file.
 * @throws InputError when it cannot be read
 */
export function readLitmus(path: string, base = process.cwd()): string {
  const full = resolve(base, path);
  try {
    return readBounded(full, `${path}:1:1`, 4 * LITMUS_CHARS_MAX, 'a litmus file').toString('utf8');
  } catch (error) {
    if (error instanceof InputError) throw error;
    const names = shippedLitmus().map((each) => basename(each, LITMUS_SUFFIX));
    throw new InputError(`${path}: ${fileProblem(error)}${nearestFile(error, full, names)}`);
  }
}

/** Compiles, and tries the set-up: what the kernel refuses there is a mistake as well. */
export function checkedLitmus(text: string, options: CompileOptions = {}): Compiled {
  const compiled = compileLitmus(text, options);
  if (compiled.test === null) return compiled;
  try {
    void new LitmusProgram(compiled.test);
    return compiled;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    const { line, column, endLine, endColumn } = compiled.test.source.name.at;
    return { test: null, mistakes: [{ line, column, endLine, endColumn, message: `set-up: ${error.message}` }] };
  }
}

function isKernel(id: string): boolean {
  try {
    return resolveKernel(id) !== undefined;
  } catch {
    return false;
  }
}

/**
 * The test of a litmus file.
 * @throws LitmusError with all its mistakes
 */
export function litmusTest({ path, text, options, within }: LitmusSource): LitmusTest {
  const wanted = options.kernel ?? options.bug ?? options.policy;
  if (wanted !== undefined && !isKernel(wanted)) {
    const known = [...POLICIES, ...BUGS].map(({ id }) => id);
    throw new InputError(`no policy or bug '${wanted}'${meant(wanted, known)}`);
  }
  const { test, mistakes } = checkedLitmus(text, options);
  if (test === null) {
    const { path: file, lines } = within ?? { path, lines: 0 };
    const inFile = (each: Mistake): Mistake => ({ ...each, line: each.line + lines, endLine: each.endLine + lines });
    throw new LitmusError(file, mistakes.map(inFile));
  }
  return test;
}

/** A litmus test as a subject. */
export interface LitmusSubject extends Subject {
  readonly test: LitmusTest;
  /** The file's text, for schedule files. */
  readonly litmus: string;
  create(): LitmusProgram;
}

/** @throws LitmusError for a file with mistakes */
export function litmusSubject(source: LitmusSource): LitmusSubject {
  const test = litmusTest(source);
  const { plan } = test;
  return {
    scenario: source.path,
    policy: plan.kernel,
    seed: plan.seed,
    hash: hashText(JSON.stringify({ ...plan, scenario: '', seed: 0 })),
    // operations are all there is: a seed changes nothing
    varies: false,
    create: () => new LitmusProgram(test),
    description: { kind: 'litmus', source },
    test,
    litmus: source.text,
  };
}

/** Where shipped litmus files lie: beside this file's source. */
const TESTS = fileURLToPath(new URL('../../../../src/lab/litmus/tests/', import.meta.url));
const ZOO = fileURLToPath(new URL('../../../../src/zoo/litmus/', import.meta.url));

const filesIn = (folder: string): string[] =>
  existsSync(folder)
    ? readdirSync(folder)
        .filter((name) => name.endsWith(LITMUS_SUFFIX))
        .toSorted()
        .map((name) => join(folder, name))
    : [];

/** Paths of the shipped files: the tests, then the zoo's. */
export const shippedLitmus = (): string[] => [...filesIn(TESTS), ...filesIn(ZOO)];

/** A path, or the name of a shipped file with or without its suffix. */
export function litmusPath(name: string, base: string): string {
  if (existsSync(resolve(base, name)) || dirname(name) !== '.') return name;
  const wanted = name.endsWith(LITMUS_SUFFIX) ? name : `${name}${LITMUS_SUFFIX}`;
  return shippedLitmus().find((path) => basename(path) === wanted) ?? name;
}
