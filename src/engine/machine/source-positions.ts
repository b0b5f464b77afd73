/**
 * Where a suspended coroutine stands: its calls from the outside in, each with its function and source line. V8 keeps the position in
 * the generator object and shows it to its own inspector, which a process can ask about itself; nothing is paid while schedules run.
 */
import { readFileSync } from 'node:fs';
import { Session } from 'node:inspector';
import { SourceMap } from 'node:module';
import { fileURLToPath } from 'node:url';
import { relative } from 'node:path';
import type { Coroutine } from '../../machine/context.js';

/** One call of a suspended coroutine. */
export interface Place {
  /** The simulated function: `changePteRange`. */
  readonly fn: string;
  /** `src/mm/mprotect/ptes.ts`, from the project's root; empty where it is not known. */
  readonly file: string;
  /** From 1; 0 where it is not known. */
  readonly line: number;
}

/** A function of the simulated kernel, and the file that it stands in; empty where that is not known. */
export type FunctionPlace = Omit<Place, 'line'>;

/** The project's root, seen from dist/src/engine/machine. */
const ROOT = fileURLToPath(new URL('../../../..', import.meta.url));
const GLOBAL = '__pinfallSuspended';

interface InternalProperty {
  readonly name: string;
  readonly value?: { readonly value?: unknown; readonly description?: string; readonly objectId?: string };
}

function functionIn(properties: readonly InternalProperty[]): string {
  const code = properties.find(({ name }) => name === '[[GeneratorFunction]]')?.value?.description ?? '';
  return /^function\*\s*([\w$]+)/.exec(code)?.[1] ?? /^\*?\s*([\w$]+)\s*\(/.exec(code)?.[1] ?? '';
}

/** Opened for one report, closed after it: an attached inspector costs speed. */
export class Positions {
  readonly #session = new Session();
  readonly #urls = new Map<string, string>();
  readonly #maps = new Map<string, SourceMap | null>();

  constructor() {
    this.#session.connect();
    this.#session.on('Debugger.scriptParsed', ({ params }) => {
      this.#urls.set(params.scriptId, params.url);
    });
    this.#session.post('Debugger.enable');
  }

  close(): void {
    Reflect.deleteProperty(globalThis, GLOBAL);
    this.#session.post('Debugger.disable');
    this.#session.disconnect();
  }

  /** Where `coroutine`, which is suspended, stands. Never throws: what cannot be found out is left empty. */
  placeOf(coroutine: Coroutine<unknown>): Place {
    Reflect.set(globalThis, GLOBAL, coroutine);
    const properties = this.#internals();
    const location = properties.find(({ name }) => name === '[[GeneratorLocation]]')?.value?.value;
    return { fn: functionIn(properties), ...this.#source(location) };
  }

  /** The function that `coroutine` runs, or ran: known also when it has returned. */
  functionOf(coroutine: Coroutine<unknown>): FunctionPlace {
    Reflect.set(globalThis, GLOBAL, coroutine);
    const properties = this.#internals();
    const made = properties.find(({ name }) => name === '[[GeneratorFunction]]')?.value;
    const location = this.#internalsOf(made?.objectId).find(({ name }) => name === '[[FunctionLocation]]')?.value
      ?.value;
    return { fn: functionIn(properties), file: this.#source(location).file };
  }

  #internals(): readonly InternalProperty[] {
    let found: readonly InternalProperty[] = [];
    this.#session.post('Runtime.evaluate', { expression: `globalThis.${GLOBAL}` }, (error, evaluated) => {
      if (error === null) found = this.#internalsOf(evaluated.result.objectId);
    });
    return found;
  }

  #internalsOf(objectId: string | undefined): readonly InternalProperty[] {
    let found: readonly InternalProperty[] = [];
    if (objectId === undefined) return found;
    this.#session.post('Runtime.getProperties', { objectId, ownProperties: true }, (failed, answer) => {
      if (failed === null) found = (answer.internalProperties ?? []) as readonly InternalProperty[];
    });
    return found;
  }

  #source(location: unknown): { readonly file: string; readonly line: number } {
    const nowhere = { file: '', line: 0 };
    if (typeof location !== 'object' || location === null) return nowhere;
    const { scriptId, lineNumber, columnNumber } = location as Record<string, unknown>;
    const url = this.#urls.get(String(scriptId)) ?? '';
    if (!url.startsWith('file:')) return nowhere;
    const path = fileURLToPath(url);
    const entry = this.#mapOf(path)?.findEntry(Number(lineNumber), Number(columnNumber));
    if (entry === undefined || !('originalLine' in entry)) {
      return { file: relative(ROOT, path), line: Number(lineNumber) + 1 };
    }
    const source = fileURLToPath(new URL(entry.originalSource, url));
    return { file: relative(ROOT, source), line: entry.originalLine + 1 };
  }

  #mapOf(path: string): SourceMap | null {
    const known = this.#maps.get(path);
    if (known !== undefined) return known;
    let map: SourceMap | null = null;
    try {
      map = new SourceMap(JSON.parse(readFileSync(`${path}.map`, 'utf8')));
    } catch {
      // built without maps: the position in the built file is better than none
    }
    this.#maps.set(path, map);
    return map;
  }
}

const sources = new Map<string, readonly string[]>();

/** A schedule point: what it stands before is on the next line. */
const POINT = /^if \(--ctx\.quantum < 0\) yield /;

/** The text of a place's line, without its indentation; of a schedule point, what follows it. Empty where the source is not there. */
export function sourceLine({ file, line }: Place): string {
  if (file === '' || line < 1) return '';
  let lines = sources.get(file);
  if (lines === undefined) {
    try {
      lines = readFileSync(new URL(file, `file://${ROOT}`), 'utf8').split('\n');
    } catch {
      // an installed package brings no sources
      lines = [];
    }
    sources.set(file, lines);
  }
  const text = lines[line - 1]?.trim() ?? '';
  return POINT.test(text) ? (lines[line]?.trim() ?? '') : text;
}
