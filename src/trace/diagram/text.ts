/**
 * Prints a race diagram as text. Columns stand side by side where their words fit; where they do not, lines are wrapped at spaces;
 * where even single words would be cut, columns only begin side by side, as in commit messages: a step runs on to the right, where
 * nobody else acts at that moment. A word is never broken, unless it is wider than the whole diagram.
 */
import type { Diagram, DiagramLine } from './model.js';
import { diagramWidth } from './width.js';

const MARGIN = '  ';
const GAP = 2;
/** What a column is squeezed to at the narrowest. */
const COLUMN_MIN = 18;
/** Between the beginnings of two columns that overlap, at least. */
const STAGGER_MIN = 4;
/** What wider gaps may cost: a tenth more lines. */
const LINES_MORE = 1.1;
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

/** Breaks a line at spaces; what follows is indented by `hanging`, or by less where a word needs the room. */
function wrap(line: string, width: number, hanging: number): string[] {
  if (line.length <= width) return [line];
  const own = line.length - line.trimStart().length;
  const out: string[] = [];
  let current = ' '.repeat(Math.min(own, Math.max(0, width - 1)));
  let empty = true;
  for (let word of line.trim().split(/ +/)) {
    if (!empty && current.length + 1 + word.length > width) {
      out.push(current);
      current = ' '.repeat(Math.min(hanging, Math.max(0, width - word.length)));
      empty = true;
    }
    if (empty && current.length + word.length > width) {
      current = ' '.repeat(Math.max(0, Math.min(current.length, width - word.length)));
      for (; word.length > width; word = word.slice(width)) out.push(word.slice(0, width));
    }
    current += empty ? word : ` ${word}`;
    empty = false;
  }
  if (current.trim() !== '') out.push(current);
  return out;
}

/** The lines of one column, in order. */
const linesOf = (diagram: Diagram, actor: number): DiagramLine[] =>
  diagram.rows.flatMap((row) => row.cells.flatMap((cell) => (cell.actor === actor ? cell.lines : [])));

/** The width that each column would like. */
const wishes = (diagram: Diagram, notesBeside: boolean): number[] =>
  diagram.actors.map(({ actor, title }) => {
    const lines = layOut(linesOf(diagram, actor), Infinity, notesBeside);
    return lines.reduce((widest, line) => Math.max(widest, line.length), title.length);
  });

/** The width below which each column's words themselves would be cut. */
const floors = (diagram: Diagram): number[] =>
  diagram.actors.map(({ actor, title }) => {
    let widest = title.length;
    for (const { indent, text, note } of linesOf(diagram, actor)) {
      const lead = 2 * indent;
      text.split(' ').forEach((word, at) => {
        widest = Math.max(widest, lead + (at === 0 ? 0 : 4) + word.length);
      });
      for (const word of note.split(' ')) widest = Math.max(widest, lead + 6 + word.length);
    }
    return Math.max(widest, COLUMN_MIN);
  });

const sum = (widths: readonly number[]): number => widths.reduce((total, width) => total + width, 0);

/** Takes from the widest columns until all fit; none gets narrower than its least. */
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

/** Moves room from one column to another as long as that saves lines. */
function balanced(diagram: Diagram, widths: readonly number[], least: readonly number[]): number[] {
  const columns = diagram.actors.map(({ actor }) =>
    diagram.rows.flatMap((row) => row.cells.filter((cell) => cell.actor === actor).map((cell) => cell.lines)),
  );
  const known = columns.map(() => new Map<number, number>());
  const linesAt = (column: number, width: number): number => {
    const heights = known[column] as Map<number, number>;
    let found = heights.get(width);
    if (found === undefined) {
      found = (columns[column] ?? []).reduce((total, lines) => total + layOut(lines, width).length, 0);
      heights.set(width, found);
    }
    return found;
  };
  const best = [...widths];
  for (let saved = true; saved;) {
    saved = false;
    for (let from = 0; from < best.length; from++) {
      for (let to = 0; to < best.length; to++) {
        const [a, b] = [best[from] as number, best[to] as number];
        for (let move = 1; from !== to && a - move >= (least[from] ?? 0); move++) {
          if (linesAt(from, a - move) + linesAt(to, b + move) >= linesAt(from, a) + linesAt(to, b)) continue;
          best[from] = a - move;
          best[to] = b + move;
          saved = true;
          break;
        }
      }
    }
  }
  return best;
}

/** Where each column begins, and how wide its text may be. */
interface Place {
  readonly left: number;
  readonly width: number;
}

interface Layout {
  readonly places: readonly Place[];
  /** A row's cells may stand on the same lines. */
  readonly sideBySide: boolean;
}

function layoutOf(diagram: Diagram, width: number): Layout {
  const room = width - MARGIN.length - GAP * Math.max(0, diagram.actors.length - 1);
  const wish = wishes(diagram, true);
  if (sum(wish) <= room) return beside(wish);
  const least = floors(diagram);
  if (sum(least) <= room) {
    const widths = squeeze(wishes(diagram, false), least, room);
    const last = widths.length - 1;
    widths[last] = (widths[last] ?? 0) + Math.max(0, room - sum(widths));
    const narrow = beside(balanced(diagram, widths, least));
    const over = overlapping(diagram, least, width);
    return diagram.actors.length > 2 && height(diagram, over) < height(diagram, narrow) ? over : narrow;
  }
  return overlapping(diagram, least, width);
}

/** Lines of all cells. */
const height = ({ actors, rows }: Diagram, { places }: Layout): number =>
  rows
    .flatMap(({ cells }) => cells)
    .reduce((total, { actor, lines }) => {
      const column = actors.findIndex((each) => each.actor === actor);
      return total + layOut(lines, places[column]?.width ?? 1).length;
    }, 0);

function beside(widths: readonly number[]): Layout {
  const places = widths.map((width, column) => ({
    left: MARGIN.length + sum(widths.slice(0, column)) + GAP * column,
    width,
  }));
  return { places, sideBySide: true };
}

/** Columns as far apart as the longest word of each allows, and no farther than costs few lines. */
function overlapping(diagram: Diagram, least: readonly number[], width: number): Layout {
  const { actors } = diagram;
  const steps = actors.slice(0, -1).map(({ title }) => title.length + GAP);
  const lefts = (between: readonly number[]): number[] =>
    actors.map((_, column) => MARGIN.length + sum(between.slice(0, column)));
  const over = (between: readonly number[]): number =>
    Math.max(...lefts(between).map((left, column) => left + (least[column] ?? 0) - width));
  const laid = (between: readonly number[]): Layout => {
    const places = lefts(between).map((left) => ({ left, width: Math.max(1, width - left) }));
    return { places, sideBySide: false };
  };
  // titles that stand too close to each other get lines of their own
  const closest = over(steps) <= 0 ? steps : steps.map(() => STAGGER_MIN);
  let best = laid(closest);
  if (closest.length === 0) return best;
  const lines = Math.ceil(height(diagram, best) * LINES_MORE);
  for (let wider = closest; over(wider) <= 0; wider = wider.map((step) => step + 1)) {
    const layout = laid(wider);
    if (height(diagram, layout) > lines) break;
    best = layout;
  }
  return best;
}

/**
 * The diagram as text; ends with a newline, no line has trailing spaces.
 * @param width columns at most
 */
export function formatDiagram(diagram: Diagram, width = diagramWidth()): string {
  const { actors, rows } = diagram;
  const { places, sideBySide } = layoutOf(diagram, width);
  const out: string[] = [];
  const print = (cells: readonly (string | undefined)[]): void => {
    let line = '';
    cells.forEach((cell = '', column) => {
      if (cell !== '') line = line.padEnd((places[column] as Place).left) + cell;
    });
    out.push(line.trimEnd());
  };
  const alone = (column: number, text: string): void => print(actors.map((_, at) => (at === column ? text : '')));
  const paragraph = (text: string): void => {
    out.push(...wrap(MARGIN + text, width, MARGIN.length + 2));
  };

  // who goes round for ever, and who waits for whom, is told above
  const told = diagram.verdict.startsWith('I-LIVE: livelock');
  if (actors.length === 0 && !told) paragraph('(no events)');
  else if (actors.length > 0) printTitles(diagram, places, print, alone);
  if (diagram.earlier > 0) paragraph(`... ${diagram.earlier} earlier step${diagram.earlier === 1 ? '' : 's'}`);
  for (const row of rows) {
    const cells = actors.map(({ actor }, column) => {
      const lines = row.cells.filter((cell) => cell.actor === actor).flatMap((cell) => cell.lines);
      return layOut(lines, (places[column] as Place).width);
    });
    const height = Math.max(0, ...cells.map((lines) => lines.length));
    if (sideBySide) for (let line = 0; line < height; line++) print(cells.map((lines) => lines[line]));
    else cells.forEach((lines, column) => lines.forEach((line) => alone(column, line)));
  }
  if (diagram.otherActors.length > 0) paragraph(`(left out: ${diagram.otherActors.join(', ')})`);
  for (const remark of diagram.remarks ?? []) paragraph(`(${remark})`);
  if (diagram.verdict !== '') {
    out.push('');
    paragraph(`*** ${diagram.verdict}`);
  }
  return `${out.join('\n')}\n`;
}

/** The actors' names, underlined: on one line where they fit between their columns. */
function printTitles(
  { actors }: Diagram,
  places: readonly Place[],
  print: (cells: readonly string[]) => void,
  alone: (column: number, text: string) => void,
): void {
  const titles = actors.map(({ title }, column) => wrap(title, (places[column] as Place).width, 0)[0] ?? '');
  const fit = titles.every((title, column) => {
    const next = places[column + 1];
    return next === undefined || (places[column] as Place).left + title.length < next.left;
  });
  if (fit) print(titles);
  else titles.forEach((title, column) => alone(column, title));
  print(
    titles.map((title, column) => {
      const room = (places[column + 1]?.left ?? Infinity) - (places[column] as Place).left - 1;
      return '-'.repeat(Math.min(title.length, room));
    }),
  );
}
