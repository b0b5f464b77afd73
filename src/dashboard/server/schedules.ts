/**
 * Schedules of the explorer: a violation of a run on real threads links to one that breaks the same rule under the same policy. They
 * are those that the explorer has found for this server's runs, in memory, and those in the folder where the server was
 * started, which is looked through again when a violation comes.
 */
import { lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseSchedule } from '../../engine/one-thread/schedule-file.js';
import { readPlain } from '../../lab/input/bounded-file.js';

/** Of one file, and of all that one look through the folder reads: it is the main thread that reads them. */
const BYTES_MAX = 1 << 20;
const LOOK_BYTES_MAX = 8 << 20;
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
  /** By file name: what was read at the last look, and of which state of the file. */
  #looked = new Map<string, { readonly key: string; readonly known: readonly Known[] }>();
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
      return readPlain(join(this.#folder, known.file), BYTES_MAX)?.toString('utf8');
    } catch {
      return undefined;
    }
  }

  #scan(folder: string): void {
    this.#scannedAt = performance.now();
    const before = this.#looked;
    this.#looked = new Map();
    let left = LOOK_BYTES_MAX;
    for (const file of schedulesIn(folder)) {
      const stamp = stampOf(join(folder, file));
      if (stamp === null) continue;
      let looked = before.get(file);
      if (looked?.key !== stamp.key) {
        // those that come too late are read at the next look: what is known by then costs nothing
        if (stamp.bytes > left) continue;
        left -= stamp.bytes;
        looked = { key: stamp.key, known: known(folder, file) };
      }
      this.#looked.set(file, looked);
    }
    this.#known = [...this.#looked.values()].flatMap((each) => each.known);
  }
}

function schedulesIn(folder: string): string[] {
  try {
    const entries = readdirSync(folder, { withFileTypes: true });
    return entries
      .flatMap((entry) => (entry.isFile() && entry.name.endsWith('.schedule') ? [entry.name] : []))
      .slice(0, FILES_MAX);
  } catch {
    return [];
  }
}

/** What a file is known by while it stays as it is, and its size; null: it is not read. */
function stampOf(path: string): { readonly key: string; readonly bytes: number } | null {
  try {
    const { ino, size, mtimeMs } = lstatSync(path);
    return size > BYTES_MAX ? null : { key: `${ino} ${size} ${mtimeMs}`, bytes: size };
  } catch {
    return null;
  }
}

function known(folder: string, file: string): Known[] {
  try {
    const text = readPlain(join(folder, file), BYTES_MAX);
    if (text === null) return [];
    const { policy, breaks } = parseSchedule(text.toString('utf8'));
    return breaks === undefined ? [] : [{ file, policy, invariant: breaks }];
  } catch {
    return [];
  }
}
