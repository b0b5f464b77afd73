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

/** A table; cells that are numbers stand right, zeros are dimmed. */
export function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const rightFrom = rows[0]?.map((cell) => typeof cell === 'number') ?? [];
  const made = new Table({
    head: head.map((name) => pc.bold(name)),
    chars: NO_BORDERS,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0, compact: true },
    colAligns: head.map((_, column) => (rightFrom[column] === true ? 'right' : 'left')),
  });
  for (const row of rows) {
    made.push(row.map((cell) => (typeof cell === 'number' ? (cell === 0 ? pc.dim('0') : number(cell)) : cell)));
  }
  return made
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}
