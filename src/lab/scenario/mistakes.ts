/** Everything that is wrong with a scenario file, told at once, in the order of the places. */
import { InputError } from '../../errors/errors.js';
import { pathName } from './issue.js';

/** More mistakes than these are counted. */
const MISTAKES_MAX = 30;

/** Where things stand in a file. */
export interface Source {
  /** Of the key or entry at `path`; where it is missing, of what should hold it. */
  offsetOf(path: readonly PropertyKey[]): number;
  /** `FILE:LINE:COLUMN`. */
  place(offset: number): string;
}

/** Mistakes in what a file means; who finds one goes on with something that causes no other. */
export class Mistakes {
  readonly #source: Source;
  readonly #found: [number, string][] = [];

  constructor(source: Source) {
    this.#source = source;
  }

  /** What stands at `path` is wrong: the message says what, and what was expected. */
  note(path: readonly PropertyKey[], message: string): void {
    this.#found.push([this.#source.offsetOf(path), `${pathName(path)}: ${message}`]);
  }

  /** The file cannot be looked at further than this. @throws InputError with all that was found */
  refuse(path: readonly PropertyKey[], message: string): never {
    this.note(path, message);
    throw told(this.#found, this.#source);
  }

  /** @throws InputError where anything was found */
  tell(): void {
    if (this.#found.length > 0) throw told(this.#found, this.#source);
  }
}

/** All mistakes of a file, each with its offset. */
export function told(mistakes: readonly (readonly [number, string])[], source: Source): InputError {
  const lines = mistakes
    .toSorted(([a], [b]) => a - b)
    .map(([offset, message]) => `${source.place(offset)}: ${message}`);
  const more = lines.length - MISTAKES_MAX;
  const shown = more > 0 ? [...lines.slice(0, MISTAKES_MAX), `and ${more} more mistakes`] : lines;
  return new InputError(shown[0] ?? '', shown);
}
