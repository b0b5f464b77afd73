/**
 * Makes a litmus test smaller while the same rule breaks: whole columns, then single operations, then steps of the set-up are left out
 * (delta debugging over operations; Zeller and Hildebrandt, IEEE TSE 28(2), 2002). Names that nobody gives any more take the operations
 * that use them along.
 */
import type { CallExpr, InitStep, LitmusFile, MappingDecl, Operation, SlotDecl } from '../litmus/language/ast.js';
import { parseLitmus } from '../litmus/language/parse.js';
import { printLitmus } from '../litmus/language/print.js';

/** Answers whether a test still breaks the rule. */
type StillBreaks = (text: string) => Promise<boolean>;

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
  const bare = withoutUnused(file, best);
  const shown = bare !== null && (await breaks(textOf(bare, best))) ? bare : file;
  const operations = countOf(whole) - countOf(best);
  const gone = file.actors.filter(
    (_, i) => (best.columns[i] ?? []).length === 0 && (whole.columns[i] ?? []).length > 0,
  );
  return {
    text: shown === file && sizeOf(best) === sizeOf(whole) ? text : textOf(shown, best),
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

/** Without mappings that no operation names and the slots that show them; null when all of them are named. */
function withoutUnused(file: LitmusFile, { init, columns }: Parts): LitmusFile | null {
  const calls = [...init, ...columns.flat()].map(({ call }) => call);
  const named = new Set(
    calls.flatMap(({ args }) => args.flatMap((each) => (each.kind === 'page' ? [each.name.text] : []))),
  );
  const gfns = new Set(
    calls.flatMap(({ name, args: [first] }) =>
      name.text.startsWith('guest_') && first?.kind === 'number' ? [first.value] : [],
    ),
  );
  const inGuest = ({ gfn, pages }: SlotDecl): boolean =>
    [...gfns].some((each) => each >= gfn.value && each < gfn.value + pages.value);
  const shown = new Set(
    file.vms.flatMap(({ slots }) => slots.flatMap((slot) => (inGuest(slot) ? [slot.page.name.text] : []))),
  );
  const used = ({ name }: MappingDecl): boolean => named.has(name.text) || shown.has(name.text);
  const processes = file.processes.map((process) => ({ ...process, mappings: process.mappings.filter(used) }));
  const kept = new Set(processes.flatMap(({ mappings }) => mappings.map(({ name }) => name.text)));
  const vms = file.vms.map((vm) => ({ ...vm, slots: vm.slots.filter(({ page }) => kept.has(page.name.text)) }));
  return kept.size > 0 && mappingsIn(processes) < mappingsIn(file.processes) ? { ...file, processes, vms } : null;
}

const mappingsIn = (processes: LitmusFile['processes']): number =>
  processes.reduce((sum, { mappings }) => sum + mappings.length, 0);

/** Columns without operations leave. */
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
