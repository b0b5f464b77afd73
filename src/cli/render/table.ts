/** Plain tables of text: a heading, a rule, numbers to the right. */
import Table from 'cli-table3';
import { pc } from './colour.js';

const NO_BORDERS = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '  ',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '  ',
};

/** 1234567 -> 1,234,567; fractions keep at most one digit. */
export function number(value: number): string {
  return Number.isInteger(value)
    ? value.toLocaleString('en')
    : value.toLocaleString('en', { maximumFractionDigits: 1 });
}

/** Between two columns, and in front of the first. */
const GAP = 2;
/** Without a terminal. */
const COLUMNS = 80;
const COLUMNS_MIN = 40;

const SGR = new RegExp(`${String.fromCharCode(27)}\\[[\\d;]*m`, 'g');
const width = (text: string): number => text.replace(SGR, '').length;
const longest = (lengths: readonly number[]): number => Math.max(0, ...lengths);

/**
 * A table that fits the terminal, or 80 columns: headings and texts are broken between words where they must. Cells that are numbers
 * stand right, zeros are dimmed.
 */
export function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const rightFrom = rows[0]?.map((cell) => typeof cell === 'number') ?? [];
  const texts = rows.map((row) =>
    row.map((cell) => (typeof cell === 'number' ? (cell === 0 ? pc.dim('0') : number(cell)) : cell)),
  );
  const widths = columnWidths(head, texts);
  const made = new Table({
    head: head.map((name, i) => broken(pc.bold(name), widths[i])),
    chars: NO_BORDERS,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0, compact: true },
    colAligns: head.map((_, column) => (rightFrom[column] === true ? 'right' : 'left')),
  });
  for (const row of texts) made.push(row.map((cell, i) => broken(cell, widths[i])));
  return made
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}

/** How wide each column may be: headings give way first, then the column in which the fewest cells are broken. No word is broken. */
function columnWidths(head: readonly string[], rows: readonly (readonly string[])[]): readonly number[] {
  const most = process.stdout.isTTY ? Math.max(COLUMNS_MIN, process.stdout.columns) : COLUMNS;
  const cells = head.map((_, i) => rows.map((row) => row[i] ?? ''));
  const lengths = cells.map((column) => column.map(width));
  const bodies = lengths.map(longest);
  const words = head.map((name, i) =>
    longest([name, ...(cells[i] ?? [])].flatMap((text) => text.split(' ').map(width))),
  );
  const widths = head.map((name, i) => Math.max(width(name), bodies[i] ?? 0));
  const shrink = (least: readonly number[]): void => {
    while (widths.reduce((sum, each) => sum + each + GAP, 0) > most) {
      const open = widths.flatMap((each, i) => (each > (least[i] ?? 0) ? [i] : []));
      const broken = (i: number): number => lengths[i]?.filter((each) => each >= (widths[i] ?? 0)).length ?? 0;
      const [next] = open.toSorted((a, b) => broken(a) - broken(b) || (widths[b] ?? 0) - (widths[a] ?? 0));
      if (next === undefined) return;
      widths[next] = (widths[next] ?? 0) - 1;
    }
  };
  shrink(bodies.map((body, i) => Math.max(body, words[i] ?? 0)));
  shrink(words);
  return widths;
}

/** Text in lines of at most `most` characters, each in the colour of the whole. */
function broken(text: string, most = Infinity): string {
  if (width(text) <= most) return text;
  const [open = '', ...others] = text.match(SGR) ?? [];
  const close = others.at(-1) ?? '';
  const lines: string[] = [];
  for (const word of text.replace(SGR, '').split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= most) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines.map((line) => open + line + close).join('\n');
}
