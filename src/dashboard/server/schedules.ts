/**
 * Schedules that the explorer has written: a violation of a run on real threads links to one that breaks the same rule under
 * the same policy. They are looked for in the folder where the server was started, and again when a violation comes.
 */
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parseSchedule } from '../../engine/schedule-file.js';

const BYTES_MAX = 8 << 20;
const FILES_MAX = 200;
const RESCAN_MS = 2000;

interface Known {
  readonly file: string;
  readonly policy: string;
  readonly invariant: string;
}

export class Schedules {
  readonly #folder: string | null;
  #known: readonly Known[] = [];
  #scannedAt = -Infinity;

  /** @param folder null: there are none */
  constructor(folder: string | null) {
    this.#folder = folder;
  }

  /** Where the page can get a schedule that breaks `invariant` under `policy`; empty when the explorer has none. */
  linkFor(invariant: string, policy: string): string {
    if (this.#folder !== null && performance.now() - this.#scannedAt > RESCAN_MS) this.#scan(this.#folder);
    const known = this.#known.find((each) => each.invariant === invariant && each.policy === policy);
    return known === undefined ? '' : `/api/schedules/${encodeURIComponent(known.file)}`;
  }

  /** The text of a schedule that {@link linkFor} has named, or undefined. No other file can be asked for. */
  read(file: string): string | undefined {
    const known = this.#known.find((each) => each.file === file);
    if (known === undefined || this.#folder === null) return undefined;
    try {
      return readFileSync(join(this.#folder, known.file), 'utf8');
    } catch {
      return undefined;
    }
  }

  #scan(folder: string): void {
    this.#scannedAt = performance.now();
    try {
      this.#known = readdirSync(folder)
        .filter((file) => file.endsWith('.schedule'))
        .slice(0, FILES_MAX)
        .flatMap((file) => known(folder, file));
    } catch {
      this.#known = [];
    }
  }
}

function known(folder: string, file: string): Known[] {
  try {
    const path = join(folder, file);
    if (statSync(path).size > BYTES_MAX) return [];
    const { policy, end } = parseSchedule(readFileSync(path, 'utf8'));
    const invariant = /^violation (\S+)/.exec(end)?.[1];
    return invariant === undefined ? [] : [{ file, policy, invariant }];
  } catch {
    return [];
  }
}
