/**
 * Schedules of the explorer: a violation of a run on real threads links to one that breaks the same rule under the same policy. They
 * are those that the explorer has found for this server's runs, in memory, and those in the folder where the server was
 * started, which is looked through again when a violation comes.
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
  /** By file name. */
  readonly #found = new Map<string, Known & { readonly text: string }>();
  #scannedAt = -Infinity;

  /** @param folder null: there are none */
  constructor(folder: string | null) {
    this.#folder = folder;
  }

  /** Where the page can get a schedule that breaks `invariant` under `policy`; empty when the explorer has none. */
  linkFor(invariant: string, policy: string): string {
    if (this.#folder !== null && performance.now() - this.#scannedAt > RESCAN_MS) this.#scan(this.#folder);
    const known = [...this.#found.values(), ...this.#known].find(
      (each) => each.invariant === invariant && each.policy === policy,
    );
    return known === undefined ? '' : `/api/schedules/${encodeURIComponent(known.file)}`;
  }

  /** Keeps a schedule found for a violation of `invariant` under `policy`, the first one. Returns where it can be had. */
  add(invariant: string, policy: string, text: string): string {
    const file = `pinfall-${policy}-${invariant}.schedule`.replaceAll(/[^A-Za-z0-9._-]+/g, '-');
    if (!this.#found.has(file)) this.#found.set(file, { file, policy, invariant, text });
    return `/api/schedules/${encodeURIComponent(file)}`;
  }

  /** The text of a schedule that {@link linkFor} has named, or undefined. No other file can be asked for. */
  read(file: string): string | undefined {
    const found = this.#found.get(file);
    if (found !== undefined) return found.text;
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
