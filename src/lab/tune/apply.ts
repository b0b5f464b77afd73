/** `--apply`: writes an `engine:` section into a scenario file. Everything else in the file stays as it is, comments too. */
import { existsSync, readFileSync } from 'node:fs';
import { basename, dirname, relative, resolve } from 'node:path';
import { isMap, parseDocument, stringify } from 'yaml';
import { InputError } from '../../errors/errors.js';
import { writeFileWhole } from '../input/whole-file.js';
import { SHIPPED, loadScenario, shippedNames } from '../scenario/scenario.js';
import type { EngineSection } from '../scenario/schema.js';

/** Where the section is going to be written. */
interface ApplyTarget {
  /** The file to read. */
  readonly from: string;
  /** The file to write. */
  readonly to: string;
  /** Of a shipped scenario, of which `to` is a copy. */
  readonly copy: boolean;
}

/**
 * Decides it before anything is measured: a scenario file is edited in place, a shipped scenario is copied into `base`.
 * @throws InputError when the copy would replace a file
 */
export function applyTarget(scenario: string, base: string): ApplyTarget {
  if (!shippedNames().includes(scenario)) {
    const path = resolve(base, scenario);
    return { from: path, to: path, copy: false };
  }
  const to = resolve(base, `${scenario}.yaml`);
  if (existsSync(to)) {
    throw new InputError(
      `--apply: ${basename(to)} is there already, and would be replaced by a copy of the shipped scenario: tune ./${basename(to)} instead, or remove it`,
    );
  }
  return { from: resolve(SHIPPED, `${scenario}.yaml`), to, copy: true };
}

/** The text of a scenario with this `engine:` section. */
export function withEngine(text: string, engine: EngineSection): string {
  const document = parseDocument(text);
  const root = document.contents;
  if (text.trimStart().startsWith('{')) {
    // JSON stays JSON
    try {
      return `${JSON.stringify({ ...(JSON.parse(text) as object), engine }, null, 2)}\n`;
    } catch {
      // YAML in braces
    }
  }
  if (isMap(root) && root.flow !== true && !document.has('engine') && !/^(?:\.\.\.|---)\s*$/m.test(text)) {
    // at the end, so that not one character of the rest changes
    return `${text.trimEnd()}\n\n${stringify({ engine }, { lineWidth: 0 })}`;
  }
  if (!isMap(document.get('engine', true))) document.set('engine', document.createNode({}));
  for (const [key, value] of Object.entries(engine)) document.setIn(['engine', key], value);
  const section: unknown = document.get('engine', true);
  if (isMap(section)) {
    const keys = section.items.map(({ key }) => String(key));
    for (const key of keys) if (!(key in engine)) section.delete(key);
    section.flow = root !== null && isMap(root) && root.flow === true;
  }
  return document.toString({ lineWidth: 0 });
}

/** Writes it, whole or not at all. @throws InputError for a file that is there by now, and what the file system says */
export function applyEngine(target: ApplyTarget, engine: EngineSection): void {
  const before = readFileSync(target.from, 'utf8');
  const text = withEngine(target.copy ? schemaSeenFrom(dirname(target.to), before) : before, engine);
  if (target.copy && existsSync(target.to)) throw new InputError(`${target.to}: is there already`);
  writeFileWhole(target.to, text);
  loadScenario(target.to);
}

/** A shipped scenario names its schema, for editors, from where it stands itself. */
const schemaSeenFrom = (folder: string, text: string): string =>
  text.replace('$schema=../', `$schema=${relative(folder, resolve(SHIPPED, '..'))}/`);
