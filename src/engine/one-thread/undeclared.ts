/**
 * The rule `undeclared`, in words: which access to which word nothing has ordered with another actor's, and where in the kernel it
 * stands. Found by machine/words/access-order.ts.
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
  keyOf,
} from '../../machine/words/access-order.js';
import { effectWord } from '../../machine/effects.js';
import { OneThread } from './one-thread.js';
import type { Program } from './program.js';
import type { Violation } from '../../oracle/violation.js';
import { ExactScript } from '../strategies/script.js';
import { Positions } from '../machine/source-positions.js';

/** The id of the rule. */
export const UNDECLARED = 'undeclared';

/** What a program must be able to for its accesses to be named. */
interface Ordered extends Program {
  readonly order: NonNullable<Program['order']>;
  /** Another one like it. */
  again(): Ordered;
}

/** The project's root, seen from dist/src/engine/one-thread. */
const ROOT = fileURLToPath(new URL('../../../..', import.meta.url));
/** Rooms whose frames are not the place of an access: whoever called them has made it. */
const NO_PLACE = /machine\/words\//;

/** `each` as a broken rule; the schedule is run again where the place is not known: of the earlier of two accesses, of none at all. */
export function undeclaredBreach(
  program: Ordered,
  each: Undeclared,
  choices: Uint8Array,
  variation: number,
): Violation {
  const { what, word, actor, other } = each;
  // (what runs here is the other run)
  const isAgain = program.order.keepStacks;
  const place =
    each.stack !== undefined ? placeIn(each.stack) : isAgain ? '' : placeByRunning(program, each, choices, variation);
  const name = (who: number): string => program.actors[who] ?? `actor ${who}`;
  const where = place === '' ? 'a place that is not known' : place;
  return {
    invariant: UNDECLARED,
    what: textOf(what, program.describe(word), where, other < 0 ? '' : name(other)),
    actor,
  };
}

function textOf(what: number, word: string, place: string, other: string): string {
  const unordered = 'and no declared access or lock that is held orders that with';
  switch (what) {
    case UNDECLARED_READ:
      return `${word} was read without a mark at ${place}, ${unordered} a store of ${other}`;
    case UNDECLARED_WRITE:
      return `${word} was stored to without a mark at ${place}, ${unordered} an access of ${other}`;
    case DECLARED_OTHERWISE:
      return `${word} was accessed otherwise than its point declares at ${place}`;
    case NO_SUCH_LOCK:
      return `${word} was taken or given back as a lock at ${place}, though it was not free, or not held`;
    case LOCK_NOT_TOUCHED:
      return `${word} was to be taken or given back as a lock at ${place}, and was not touched`;
    default:
      return word;
  }
}

/** Runs the schedule once more, on a program of its own, with the stacks of all plain accesses and the places of locks' points. */
function placeByRunning(program: Ordered, each: Undeclared, choices: Uint8Array, variation: number): string {
  const again = program.again();
  const { order } = again;
  order.keepStacks = true;
  const thread = new OneThread(again, choices.length);
  thread.fair = false;
  thread.goesOn = true;
  const positions = new Positions();
  let point = '';
  thread.observer = {
    beforeStep(actor, effect) {
      if (order.found.length > 0 || actor !== each.actor || effectWord(effect) !== each.word) return;
      const call = thread.calls(actor).at(-1);
      if (call === undefined) return;
      const { file, line } = positions.placeOf(call);
      if (line > 0) point = `${file}:${line}`;
    },
    afterStep() {},
  };
  const script = new ExactScript().load(choices, choices.length);
  script.begin();
  thread.run(script, variation);
  positions.close();
  if (each.what === LOCK_NOT_TOUCHED) return point;
  return placeIn(order.found.find((found) => keyOf(found) === keyOf(each))?.stack ?? '');
}

const maps = new Map<string, SourceMap | null>();

/** `src/mm/gup/gup.ts:120`: the first frame of kernel code. */
function placeIn(stack: string): string {
  for (const line of stack.split('\n').slice(1)) {
    const match = /\(?((?:file:\/\/)?\/[^()]*):(\d+):(\d+)\)?$/.exec(line);
    if (match === null) continue;
    const [, url = '', row = '', column = ''] = match;
    const path = url.startsWith('file:') ? fileURLToPath(url) : url;
    if (NO_PLACE.test(path)) continue;
    return mapped(path, Number(row), Number(column));
  }
  return '';
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
