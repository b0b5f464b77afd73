/**
 * The rule `undeclared`, in words: which access to which word nothing has ordered with another actor's, and where in the kernel it
 * stands. Found by machine/access-order.ts.
 */
import { readFileSync } from 'node:fs';
import { SourceMap } from 'node:module';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  DECLARED_OTHERWISE,
  LOCK_NOT_TOUCHED,
  NO_SUCH_LOCK,
  UNDECLARED_READ,
  UNDECLARED_WRITE,
  type Undeclared,
} from '../machine/access-order.js';
import { OneThread } from './one-thread.js';
import type { Breach, Program } from './program.js';
import { ExactScript } from './strategies/script.js';

/** The id of the rule. */
export const UNDECLARED = 'undeclared';

/** What a program must be able to for its accesses to be named. */
export interface Ordered extends Program {
  readonly order: NonNullable<Program['order']>;
  /** Another one like it. */
  again(): Ordered;
}

/** The project's root, seen from dist/src/engine. */
const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
/** Rooms whose frames are not the place of an access: whoever called them has made it. */
const NO_PLACE = /machine\/(words|access-order|beside)/;

/** `each` as a broken rule; the schedule is run again where the earlier of two accesses is meant, whose place is not known. */
export function undeclaredBreach(program: Ordered, each: Undeclared, choices: Uint8Array, variation: number): Breach {
  const { what, word, actor, other } = each;
  const stack = each.stack ?? stackOf(program, each, choices, variation);
  const name = (who: number): string => program.actors[who] ?? `actor ${who}`;
  const text = textOf(what, program.describe(word), other < 0 ? '' : name(other));
  return { invariant: UNDECLARED, what: `${text} at ${placeOf(stack)}`, actor };
}

function textOf(what: number, word: string, other: string): string {
  switch (what) {
    case UNDECLARED_READ:
      return `${word} is read without a mark, and no lock that is held orders that with a store of ${other}:`;
    case UNDECLARED_WRITE:
      return `${word} is stored to without a mark, and no lock that is held orders that with an access of ${other}:`;
    case DECLARED_OTHERWISE:
      return `${word} is accessed otherwise than its point declares:`;
    case NO_SUCH_LOCK:
      return `${word} is taken or given back as a lock, but was not free, or not held:`;
    case LOCK_NOT_TOUCHED:
      return `${word} is declared to be taken or given back as a lock, and is not touched:`;
    default:
      return word;
  }
}

/** Runs the schedule once more, on a program of its own, with the stacks of all plain accesses. */
function stackOf(program: Ordered, each: Undeclared, choices: Uint8Array, variation: number): string {
  const again = program.again();
  again.order.keepStacks = true;
  const thread = new OneThread(again, choices.length);
  thread.fair = false;
  thread.goesOn = true;
  const script = new ExactScript().load(choices, choices.length);
  script.begin();
  thread.run(script, variation);
  const found = again.order.found.find(({ what, word }) => what === each.what && word === each.word);
  return found?.stack ?? '';
}

const maps = new Map<string, SourceMap | null>();

/** `src/mm/gup.ts:120`: the first frame of kernel code. */
function placeOf(stack: string): string {
  for (const line of stack.split('\n').slice(1)) {
    const match = /\(?((?:file:\/\/)?\/[^()]*):(\d+):(\d+)\)?$/.exec(line);
    if (match === null) continue;
    const [, url = '', row = '', column = ''] = match;
    const path = url.startsWith('file:') ? fileURLToPath(url) : url;
    if (NO_PLACE.test(path)) continue;
    return mapped(path, Number(row), Number(column));
  }
  return 'a place that is not known';
}

function mapped(path: string, line: number, column: number): string {
  if (!path.endsWith('.js')) return `${relative(ROOT, path)}:${line}`;
  let map = maps.get(path);
  if (map === undefined) {
    try {
      map = new SourceMap(JSON.parse(readFileSync(`${path}.map`, 'utf8')));
    } catch {
      map = null;
    }
    maps.set(path, map);
  }
  const entry = map?.findEntry(line - 1, column - 1);
  if (entry === undefined || !('originalLine' in entry)) return `${relative(ROOT, path)}:${line}`;
  return `${relative(ROOT, fileURLToPath(new URL(entry.originalSource, `file://${path}`)))}:${entry.originalLine + 1}`;
}
