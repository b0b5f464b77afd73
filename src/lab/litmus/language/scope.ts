/** The names of a litmus file while it is checked, and the mistakes found so far. */
import type { PageRef, Span, Word } from './ast.js';
import { listed } from './grammar-messages.js';
import type { ActorModel, ColumnModel, MappingModel, ProcessModel, ResultModel, VmModel } from './model.js';
import { nearest } from '../../input/nearest.js';
import type { Mistake } from './parse.js';

/** Pages [start, end) of process `mm`. */
interface PageRange {
  readonly mm: number;
  readonly start: number;
  readonly end: number;
  readonly mapping: MappingModel;
}

export class Scope {
  readonly mistakes: Mistake[] = [];
  readonly processes: ProcessModel[] = [];
  readonly vms: VmModel[] = [];
  readonly columns: ColumnModel[] = [];
  readonly results: ResultModel[] = [];
  nodes = 1;
  /** Page frames, of all nodes. */
  frames = 1;

  mistake(at: Span, message: string): void {
    const { line, column, endLine, endColumn } = at;
    this.mistakes.push({ line, column, endLine, endColumn, message });
  }

  /** The one of `known` that is named; else a mistake that lists what there is, or the nearest of them. */
  named<T extends { readonly name: string }>(word: Word, what: string, known: readonly T[]): T | null {
    const found = known.find(({ name }) => name === word.text);
    if (found !== undefined) return found;
    this.unknown(
      word,
      what,
      known.map(({ name }) => name),
    );
    return null;
  }

  unknown({ text, at }: Word, what: string, names: readonly string[]): void {
    const known = [...new Set(names)];
    const near = nearest(text, known);
    const hint =
      near !== null
        ? `did you mean '${near}'?`
        : known.length === 0
          ? 'there is none'
          : `expected ${listed(known.slice(0, 12))}${known.length > 12 ? ', ...' : ''}`;
    this.mistake(at, `no ${what} '${text}'; ${hint}`);
  }

  /** A name that may stand once. */
  once(word: Word, what: string, known: readonly { readonly name: string }[]): void {
    if (known.some(({ name }) => name === word.text)) this.mistake(word.at, `a second ${what} '${word.text}'`);
  }

  /** The one page that `ref` names. */
  page(ref: PageRef, by: ActorModel | null): PageRange | null {
    if (ref.to !== null) {
      this.mistake(ref.at, `expected one page, got the range ${pageText(ref)}`);
      return null;
    }
    const range = this.range(ref, by);
    return range === null || ref.from !== null ? range : { ...range, end: range.start + 1 };
  }

  /**
   * The pages that `ref` names: without an index, all of the mapping.
   * @param by whose page it must be: a task names its own process's; null or an actor without a process may name any
   */
  range(ref: PageRef, by: ActorModel | null): PageRange | null {
    const process = this.#processOf(ref, by);
    if (process === null) return null;
    const mapping = process.mappings.find(({ name }) => name === ref.name.text);
    if (mapping === undefined) {
      this.unknown(
        ref.name,
        `mapping of process ${process.name}`,
        process.mappings.map(({ name }) => name),
      );
      return null;
    }
    const from = ref.from?.value ?? 0;
    const last = ref.to?.value ?? (ref.from === null ? mapping.pages - 1 : from);
    for (const index of [ref.from, ref.to]) {
      if (index !== null && index.value >= mapping.pages) {
        const has = mapping.pages === 1 ? '1 page (0)' : `${mapping.pages} pages (0 to ${mapping.pages - 1})`;
        this.mistake(index.at, `page ${index.value} is outside '${mapping.name}', which has ${has}`);
        return null;
      }
    }
    if (last < from) {
      this.mistake(ref.at, `expected a range that goes up, got ${from}..${last}`);
      return null;
    }
    return { mm: process.mm, start: mapping.start + from, end: mapping.start + last + 1, mapping };
  }

  #processOf(ref: PageRef, by: ActorModel | null): ProcessModel | null {
    const own = by?.process ?? null;
    if (ref.process !== null) {
      const process = this.named(ref.process, 'process', this.processes);
      if (process !== null && own !== null && process !== own) {
        this.mistake(ref.at, `${pageText(ref)} is a page of another process; ${by?.name} is of process ${own.name}`);
        return null;
      }
      return process;
    }
    if (own !== null) {
      if (own.mappings.some(({ name }) => name === ref.name.text)) return own;
      const other = this.processes.find(({ mappings }) => mappings.some(({ name }) => name === ref.name.text));
      if (other === undefined || other === own) return own;
      this.mistake(
        ref.at,
        `'${ref.name.text}' is a mapping of process ${other.name}; ${by?.name} is of process ${own.name}`,
      );
      return null;
    }
    return this.#onlyProcessWith(ref);
  }

  /** Where nobody's process is meant: the only one that has such a mapping, forked ones apart. */
  #onlyProcessWith(ref: PageRef): ProcessModel | null {
    const owners = this.processes.filter(
      ({ parent, mappings }) => parent === null && mappings.some(({ name }) => name === ref.name.text),
    );
    if (owners.length > 1) {
      const names = owners.map(({ name }) => `${name}.${ref.name.text}`);
      this.mistake(ref.at, `'${ref.name.text}' is a mapping of several processes; expected ${listed(names)}`);
      return null;
    }
    if (owners.length === 1) return owners[0] as ProcessModel;
    this.unknown(
      ref.name,
      'mapping',
      this.processes.flatMap(({ mappings }) => mappings.map(({ name }) => name)),
    );
    return null;
  }
}

/** A page as the file writes it. */
export function pageText({ process, name, from, to }: PageRef): string {
  const index = from === null ? '' : to === null ? `[${from.value}]` : `[${from.value}..${to.value}]`;
  return `${process === null ? '' : `${process.text}.`}${name.text}${index}`;
}
