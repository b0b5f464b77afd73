/**
 * Makes a litmus test smaller while the same rule breaks: whole columns, then single operations, then steps of the set-up are left out
 * (delta debugging over operations; Zeller and Hildebrandt, IEEE TSE 28(2), 2002). Names that nobody gives any more take the operations
 * that use them along.
 */
import type { CallExpr, InitStep, LitmusFile, Operation } from '../litmus/ast.js';
import { parseLitmus } from '../litmus/parse.js';
import { printLitmus } from '../litmus/print.js';

/** Answers whether a test still breaks the rule. */
export type StillBreaks = (text: string) => Promise<boolean>;

export interface Reduced {
  readonly text: string;
  /** Operations left out, set-up steps left out, columns that are gone. */
  readonly operations: number;
  readonly setup: number;
  readonly actors: readonly string[];
}

/** A file by its columns, which is how it is cut. */
interface Parts {
  readonly init: readonly InitStep[];
  readonly columns: readonly (readonly Operation[])[];
}

/**
 * The smallest test found. What was not found in the schedules that `breaks` tries is kept, so it may not be the smallest there is.
 * @param text of a litmus file that breaks the rule
 */
export async function reduceOperations(text: string, breaks: StillBreaks): Promise<Reduced> {
  const { file } = parseLitmus(text);
  if (file === null) return { text, operations: 0, setup: 0, actors: [] };
  const whole = partsOf(file);
  let best = whole;
  const attempt = async (parts: Parts): Promise<boolean> => {
    const tidy = withoutDangling(parts);
    if (sizeOf(tidy) >= sizeOf(best) || tidy.columns.every((column) => column.length === 0)) return false;
    if (!(await breaks(textOf(file, tidy)))) return false;
    best = tidy;
    return true;
  };
  for (let helped = true; helped;) {
    helped = false;
    for (let column = 0; column < whole.columns.length; column++) {
      if ((best.columns[column] ?? []).length > 1) helped = (await attempt(cutColumn(best, column))) || helped;
    }
    for (let column = 0; column < whole.columns.length; column++) {
      for (let at = (best.columns[column] ?? []).length - 1; at >= 0; at--) {
        helped = (await attempt(cutOperation(best, column, at))) || helped;
      }
    }
    for (let at = best.init.length - 1; at >= 0; at--) {
      helped = (await attempt({ ...best, init: best.init.filter((_, i) => i !== at) })) || helped;
    }
  }
  const operations = countOf(whole) - countOf(best);
  const gone = file.actors.filter((_, i) => (best.columns[i] ?? []).length === 0 && (whole.columns[i] ?? []).length > 0);
  return {
    text: operations + whole.init.length - best.init.length === 0 ? text : textOf(file, best),
    operations,
    setup: whole.init.length - best.init.length,
    actors: gone.map(({ name }) => name.text),
  };
}

const partsOf = ({ init, actors, rows }: LitmusFile): Parts => ({
  init,
  columns: actors.map((_, i) => rows.flatMap(({ cells }) => cells[i] ?? [])),
});

const countOf = ({ columns }: Parts): number => columns.reduce((sum, column) => sum + column.length, 0);
const sizeOf = (parts: Parts): number => countOf(parts) + parts.init.length;

const cutColumn = (parts: Parts, column: number): Parts => ({
  ...parts,
  columns: parts.columns.map((cells, i) => (i === column ? [] : cells)),
});

const cutOperation = (parts: Parts, column: number, at: number): Parts => ({
  ...parts,
  columns: parts.columns.map((cells, i) => (i === column ? cells.filter((_, n) => n !== at) : cells)),
});

/** Operations that take a pin's result. */
const USES: ReadonlySet<string> = new Set(['unpin', 'put', 'pin_read', 'pin_write']);

function uses({ name, args }: CallExpr): string | null {
  const [first] = args;
  return USES.has(name.text) && first?.kind === 'page' ? first.name.text : null;
}

/** Without operations on results that nobody gives. */
function withoutDangling({ init, columns }: Parts): Parts {
  const given = new Set([...init, ...columns.flat()].flatMap(({ result }) => (result === null ? [] : [result.text])));
  const stays = ({ call }: { readonly call: CallExpr }): boolean => {
    const used = uses(call);
    return used === null || given.has(used);
  };
  return { init: init.filter(stays), columns: columns.map((column) => column.filter(stays)) };
}

/** Columns without operations, and VMs and questions that name what is gone, leave with them. */
function textOf(file: LitmusFile, { init, columns }: Parts): string {
  const kept = columns.flatMap((column, i) => (column.length > 0 ? [i] : []));
  const height = Math.max(0, ...kept.map((i) => columns[i]?.length ?? 0));
  const at = file.name.at;
  return printLitmus({
    ...file,
    init,
    actors: kept.flatMap((i) => file.actors[i] ?? []),
    rows: Array.from({ length: height }, (_, row) => ({ cells: kept.map((i) => columns[i]?.[row] ?? null), at })),
  });
}
