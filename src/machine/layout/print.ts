/**
 * Prints generated.ts from the rows: constants that V8 folds, and accessors. `npm run layout:update` writes it; a test says when it is
 * stale.
 */
import { REGIONS } from './regions.js';
import type { Access, Field, Guard, Part, Region, Struct } from './row.js';
import { globalLocks } from './structs/globals.js';
import { header } from './structs/header.js';

const WIDTH = 120;

/** The text of src/machine/layout/generated.ts. */
export function printLayout(): string {
  const printed = new Set<string>();
  return [
    drawing(),
    "import type { Machine } from './machine.js';",
    '',
    '/* ---- kernel-wide locks: numbers of locks, a line each ---- */',
    ...globalLocks.flatMap((row) => constantOf(row.constant, row.at, docOf(row))),
    '',
    ...structsInOrder().flatMap((struct) => constantsOf(struct, printed)),
    '/* ---- where things stand: word indices ---- */',
    ...REGIONS.flatMap(accessorsOf),
  ].join('\n');
}

/** Every struct once, those that stand inside others before them. */
function structsInOrder(): Struct[] {
  const found = new Set<Struct>();
  const visit = (struct: Struct): void => {
    for (const { element } of struct.fields) if (element !== null) visit(element);
    found.add(struct);
  };
  for (const { struct } of REGIONS) visit(struct);
  return [...found];
}

function constantsOf(struct: Struct, printed: Set<string>): string[] {
  const title = struct.kernel === null ? struct.doc : `${struct.doc}: ${struct.kernel}`;
  const lines = [`/* ---- ${title.replace(/\.$/, '')} ---- */`];
  for (const row of struct.fields) {
    if (printed.has(row.constant)) continue;
    printed.add(row.constant);
    lines.push(...constantOf(row.constant, row.at, docOf(row)));
    if (row.also !== null) lines.push(...constantOf(row.also.constant, row.at, row.also.doc));
  }
  for (const { constant, doc } of struct.parts) {
    if (constant === null || printed.has(constant)) continue;
    printed.add(constant);
    lines.push(...constantOf(constant, struct.words, doc));
  }
  lines.push(...constantOf(`${struct.id}_WORDS`, struct.words, 'Words of one, its variable parts not counted.'), '');
  return lines;
}

const constantOf = (name: string, value: number, doc: string): string[] => [
  ...comment(doc),
  `export const ${name} = ${value};`,
];

function docOf({ doc, kernel, guard, name }: Field): string {
  const same = kernel === null || kernel === name;
  return [same ? doc : `${kernel}: ${doc}`, guardText(guard)].filter((text) => text !== '').join(' ');
}

const locksOf = (access: Access): string =>
  typeof access === 'string'
    ? access
    : access.map(({ lock, as }) => (as === 'write' ? `${lock} (write)` : lock)).join(' or ');

/** How a word may be touched, in words. */
function guardText({ kind, load, store }: Guard): string {
  if (kind === 'lock') return 'A lock word, and its Lamport time.';
  if (kind === 'lock-free') return load === 'free' ? 'Stored marked.' : 'Marked.';
  if (kind === 'constant') return 'Constant while actors run.';
  if (kind === "owner's") return "Its owner's.";
  if (load === store || locksOf(load) === locksOf(store)) return `Under ${locksOf(load)}.`;
  const stores = store === 'marked' ? 'stored marked' : `stored under ${locksOf(store)}`;
  return load === 'free'
    ? `${stores[0]?.toUpperCase()}${stores.slice(1)}.`
    : `Loaded under ${locksOf(load)}, ${stores}.`;
}

function accessorsOf({ id, struct, accessor }: Region): string[] {
  const index = accessor?.parameter ?? struct.id.toLowerCase();
  const record = `m.${id}At + ${timesWords(index, struct)}`;
  const lines =
    accessor === null
      ? []
      : arrow(accessor.name, `${index}: number, field: number`, `${record} + field`, `A field ${struct.id}_*.`);
  for (const part of struct.parts) {
    if (part.accessor === null) continue;
    const { name, parameter, element } = part.accessor;
    const at = element === parameter ? parameter : `(${element})`;
    lines.push(
      ...arrow(
        name,
        `${index}: number, ${parameter}: number`,
        `${record} + ${partOffset(part)} + ${at}${part.step === 1 ? '' : ` * ${part.step}`}`,
        part.doc,
      ),
    );
  }
  return lines;
}

/** Offset of an element: shifts where sizes are powers of two. */
function timesWords(index: string, struct: Struct): string {
  if (struct.sizedBy !== null) return `${index} * m.${struct.sizedBy}`;
  const shift = Math.log2(struct.words);
  return Number.isInteger(shift) ? `(${index} << ${shift})` : `${index} * ${struct.words}`;
}

/** A part that stands right behind the fields has a constant for its offset. */
const partOffset = ({ id, constant }: Part): string => constant ?? `m.${id}`;

function arrow(name: string, parameters: string, body: string, doc: string): string[] {
  const one = `export const ${name} = (m: Machine, ${parameters}): number => ${body};`;
  if (one.length <= WIDTH) return [...comment(doc), one];
  return [...comment(doc), `export const ${name} = (m: Machine, ${parameters}): number =>`, `  ${body};`];
}

/** A comment of one line, or of as many as it takes. */
function comment(text: string): string[] {
  if (text.length + 7 <= WIDTH) return [`/** ${text} */`];
  const lines = [''];
  for (const word of text.split(' ')) {
    const line = lines.at(-1) as string;
    if (line.length + word.length + 4 > WIDTH) lines.push(word);
    else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`;
  }
  return ['/**', ...lines.map((line) => ` * ${line}`), ' */'];
}

/** The machine's memory on one page. */
function drawing(): string {
  const rows = REGIONS.map(({ id, struct, writer }) => [id, struct.doc, wordsText(struct, id), writer] as const);
  const widths = [0, 1, 2].map((column) => Math.max(...rows.map((row) => row[column as 0 | 1 | 2].length)) + 3);
  const line = (cells: readonly string[]): string =>
    ` *   ${cells.map((cell, n) => cell.padEnd(widths[n] ?? 0)).join('')}`.trimEnd();
  return [
    '/**',
    " * The machine's memory: one SharedArrayBuffer of 32-bit words, laid out from a {@link MachineConfig}. PRINTED from the rows of this",
    ' * folder (print.ts): change those, then `npm run layout:update`.',
    ' *',
    line(['region', 'what', 'words each', 'writer']),
    line(['------', '----', '----------', '------']),
    ...rows.map(line),
    ' *',
    ' * Frames are records of one 64-byte line each rather than a structure of arrays: a fault touches refs, maps, flags, content and',
    " * compound state of one random frame, which is one cache line this way and five the other; two frames' locks never share a line either.",
    ' * Which lock guards a word is said with it.',
    ' */',
  ].join('\n');
}

function wordsText(struct: Struct, id: string): string {
  if (struct.sizedBy !== null) return `m.${struct.sizedBy}`;
  return struct === header || id === 'globalData' ? String(struct.words) : `${struct.words} each`;
}
