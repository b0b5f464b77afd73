/** Prints a race diagram as text: columns as wide as their words where that fits, wrapped where it does not. */
import type { Diagram, DiagramLine } from './diagram.js';

const WIDTH = 100;
const MARGIN = '  ';
const GAP = 2;
/** What a column is squeezed to at the narrowest. */
const COLUMN_MIN = 18;
const ARROW = '<-- ';

/** One cell's lines as text of at most `width` columns; a note stands beside its step where there is room. */
function layOut(lines: readonly DiagramLine[], width: number, notesBeside = true): string[] {
  const out: string[] = [];
  for (const { indent, text, note } of lines) {
    const lead = '  '.repeat(indent);
    const whole = note === '' ? lead + text : `${lead}${text}   ${ARROW}${note}`;
    if (note === '' || (notesBeside && whole.length <= width)) {
      out.push(...wrap(whole, width, lead.length + 4));
    } else {
      out.push(...wrap(lead + text, width, lead.length + 4));
      out.push(...wrap(`${lead}  ${ARROW}${note}`, width, lead.length + 6));
    }
  }
  return out;
}

/** Breaks a line at spaces; what follows is indented by `hanging`. A word that is too long is cut. */
function wrap(line: string, width: number, hanging: number): string[] {
  if (line.length <= width) return [line];
  const lead = ' '.repeat(Math.min(hanging, Math.floor(width / 2)));
  const out: string[] = [];
  let rest = line;
  while (rest.length > width) {
    const indent = rest.length - rest.trimStart().length;
    const space = rest.lastIndexOf(' ', width);
    const cut = space > indent ? space : width;
    out.push(rest.slice(0, cut).trimEnd());
    rest = lead + rest.slice(cut).trimStart();
  }
  if (rest.trim() !== '') out.push(rest);
  return out;
}

/** The width that each column would like. */
function wishes(diagram: Diagram, notesBeside: boolean): number[] {
  return diagram.actors.map(({ actor, title }) => {
    let widest = title.length;
    for (const row of diagram.rows) {
      for (const cell of row.cells) {
        if (cell.actor !== actor) continue;
        for (const line of layOut(cell.lines, Infinity, notesBeside)) widest = Math.max(widest, line.length);
      }
    }
    return widest;
  });
}

/** The width below which each column's words themselves would be cut. */
function floors(diagram: Diagram): number[] {
  return diagram.actors.map(({ actor, title }) => {
    let widest = title.length;
    const lines = diagram.rows.flatMap((row) => row.cells.flatMap((cell) => (cell.actor === actor ? cell.lines : [])));
    for (const { indent, text } of lines) {
      for (const word of text.split(' ')) widest = Math.max(widest, 2 * indent + 4 + word.length);
    }
    return Math.max(widest, COLUMN_MIN);
  });
}

const sum = (widths: readonly number[]): number => widths.reduce((total, width) => total + width, 0);

/** Takes from the widest columns until all fit; none gets narrower than its least, as long as that is possible. */
function squeeze(widths: readonly number[], least: readonly number[], room: number): number[] {
  const squeezed = [...widths];
  while (sum(squeezed) > room) {
    let from = -1;
    squeezed.forEach((width, column) => {
      if (width > (least[column] ?? 0) && width > (squeezed[from] ?? 0)) from = column;
    });
    if (from < 0) return squeezed;
    squeezed[from] = (squeezed[from] ?? 0) - 1;
  }
  return squeezed;
}

/**
 * The diagram as text; ends with a newline, no line has trailing spaces.
 * @param width columns at most
 */
export function formatDiagram(diagram: Diagram, width = WIDTH): string {
  const { actors, rows } = diagram;
  const room = width - MARGIN.length - GAP * Math.max(0, actors.length - 1);
  let widths = wishes(diagram, true);
  if (sum(widths) > room) {
    widths = squeeze(wishes(diagram, false), floors(diagram), room);
    widths = squeeze(
      widths,
      widths.map(() => COLUMN_MIN),
      room,
    );
    const last = widths.length - 1;
    widths[last] = (widths[last] ?? 0) + Math.max(0, room - sum(widths));
  }

  const out: string[] = [];
  const print = (cells: readonly (string | undefined)[]): void => {
    const padded = cells.map((cell, column) => (cell ?? '').padEnd((widths[column] ?? 0) + GAP));
    out.push((MARGIN + padded.join('')).trimEnd());
  };
  const paragraph = (text: string): void => {
    out.push(...wrap(MARGIN + text, width, MARGIN.length + 2));
  };

  if (actors.length === 0) paragraph('(no events)');
  else {
    const titles = actors.map(({ title }, column) => wrap(title, widths[column] ?? WIDTH, 0)[0] ?? '');
    print(titles);
    print(titles.map((title) => '-'.repeat(title.length)));
  }
  if (diagram.earlier > 0) paragraph(`... ${diagram.earlier} earlier steps`);
  for (const row of rows) {
    const cells = actors.map(({ actor }, column) => {
      const lines = row.cells.filter((cell) => cell.actor === actor).flatMap((cell) => cell.lines);
      return layOut(lines, widths[column] ?? WIDTH);
    });
    const height = Math.max(0, ...cells.map((lines) => lines.length));
    for (let line = 0; line < height; line++) print(cells.map((lines) => lines[line]));
  }
  if (diagram.otherActors.length > 0) paragraph(`(left out: ${diagram.otherActors.join(', ')})`);
  if (diagram.verdict !== '') {
    out.push('');
    paragraph(`*** ${diagram.verdict}`);
  }
  return `${out.join('\n')}\n`;
}
