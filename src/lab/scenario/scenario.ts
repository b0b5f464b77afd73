/**
 * Scenario files: found by name (the shipped ones) or by path, read, checked against the schema, with the place of
 * every error in the file. What they say is in scenario-schema.ts; how one becomes a plan, in scenario-plan.ts.
 */
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Document, LineCounter, type ParsedNode, isMap, isNode, isScalar, parseDocument, visit } from 'yaml';
import { readBounded } from '../input/bounded-file.js';
import { fileProblem } from '../input/file-problem.js';
import { InputError } from '../../errors/errors.js';
import { meant } from '../input/nearest.js';
import { nearestFile } from '../input/nearest-file.js';
import { describeIssue } from './issue.js';
import { Mistakes, type Source, told } from './mistakes.js';
import { SCENARIO, type ScenarioFile } from './schema.js';

/** The folder of the shipped scenarios. */
export const SHIPPED = fileURLToPath(new URL('../../../../src/lab/scenarios/', import.meta.url));
const BYTES_MAX = 1 << 20;

/** A checked scenario. */
export class Scenario {
  /** Of a shipped one; else the file's path as it was given. */
  readonly name: string;
  readonly file: ScenarioFile;
  /** The file's folder: its recording may stand beside it. */
  readonly folder: string;
  readonly #source: Source;

  constructor(name: string, folder: string, file: ScenarioFile, source: Source) {
    this.name = name;
    this.folder = folder;
    this.file = file;
    this.#source = source;
  }

  /** For what its parts mean together; none found yet. */
  mistakes(): Mistakes {
    return new Mistakes(this.#source);
  }
}

/** The names and titles of the shipped scenarios. */
export function listScenarios(): { readonly name: string; readonly description: string }[] {
  return shippedNames().map((name) => ({ name, description: loadScenario(name).file.title }));
}

export function shippedNames(): string[] {
  return readdirSync(SHIPPED)
    .filter((file) => file.endsWith('.yaml'))
    .map((file) => file.slice(0, -5))
    .toSorted();
}

/**
 * Loads a scenario.
 * @param nameOrPath a shipped scenario's name, or a YAML or JSON file (a relative path from `base`)
 * @param others names of other things that could stand there: one of them may have been meant
 * @throws InputError with file, line and column, and what was expected
 */
export function loadScenario(
  nameOrPath: string,
  base: string = process.cwd(),
  others: readonly string[] = [],
): Scenario {
  const names = shippedNames();
  if (names.includes(nameOrPath))
    return readScenario(nameOrPath, join(SHIPPED, `${nameOrPath}.yaml`), `${nameOrPath}.yaml`, []);
  const path = resolve(base, nameOrPath);
  if (!/[/\\.]/.test(nameOrPath) && !existsSync(path)) {
    throw new InputError(
      `no scenario ${nameOrPath}; expected one of ${[...names, ...others].join(', ')}, or the path of a file${meant(nameOrPath, [...names, ...others])}`,
    );
  }
  return readScenario(nameOrPath, path, nameOrPath, names);
}

function readScenario(name: string, path: string, shown: string, names: readonly string[]): Scenario {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(readBounded(path, shown, BYTES_MAX, 'a scenario file'));
  } catch (error) {
    if (error instanceof InputError) throw error;
    if (error instanceof TypeError)
      throw new InputError(`${shown}: not a text file; expected a scenario in YAML or JSON`);
    throw new InputError(`${shown}: ${fileProblem(error)}${nearestFile(error, path, names)}`);
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, logLevel: 'error' });
  const place = (offset: number): string => {
    const { line, col } = lines.linePos(offset);
    return `${shown}:${line}:${col}`;
  };
  // what comes behind the first is mostly its consequence
  const broken = document.errors[0];
  if (broken !== undefined) throw new InputError(`${place(broken.pos[0])}: ${yamlProblem(broken)}`);
  visit(document, {
    Alias: (_key, alias) => {
      if (alias.resolve(document) === undefined)
        throw new InputError(`${place(alias.range?.[0] ?? 0)}: no anchor &${alias.source} before this alias`);
    },
  });
  let data: unknown;
  try {
    data = document.toJS();
  } catch (error) {
    throw new InputError(`${shown}: ${error instanceof Error ? error.message : 'not YAML'}`);
  }
  const source: Source = { place, offsetOf: (at) => offsetOf(document, at) };
  const parsed = SCENARIO.safeParse(data);
  if (parsed.success) return new Scenario(name, dirname(path), parsed.data, source);
  // a line for each unknown key, where it stands
  const mistakes = parsed.error.issues.flatMap((issue): [number, string][] => {
    if (issue.code !== 'unrecognized_keys') return [[offsetOf(document, issue.path), describeIssue(issue, data)]];
    return issue.keys.map((key) => [
      offsetOf(document, [...issue.path, key]),
      describeIssue({ ...issue, keys: [key] }, data, SCENARIO),
    ]);
  });
  throw told(mistakes, source);
}

/** What the parser says to programmers is said to a user. */
const yamlProblem = ({ code, message }: { readonly code: string; readonly message: string }): string =>
  code === 'MULTIPLE_DOCS' ? 'another document begins; expected one scenario' : (message.split('\n')[0] ?? 'not YAML');

/** Where the key or entry at `path` stands in the file; where it is missing, what should hold it. */
function offsetOf(document: Document.Parsed, path: readonly PropertyKey[]): number {
  let node: ParsedNode | null = document.contents;
  let offset = node?.range[0] ?? 0;
  for (const key of path) {
    if (isMap<ParsedNode, ParsedNode | null>(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && item.key.value === key);
      if (pair === undefined) return offset;
      offset = pair.key.range[0];
      node = pair.value;
    } else {
      const next: unknown = isNode(node) && 'get' in node && typeof key === 'number' ? node.get(key, true) : undefined;
      if (!isNode(next)) return offset;
      node = next as ParsedNode;
      offset = node.range[0];
    }
  }
  return offset;
}
