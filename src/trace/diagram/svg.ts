/** A race diagram as an SVG picture: a lifeline per actor, its steps as text beside it, notes in the accent colour. No outside resource. */
import type { Diagram, DiagramLine } from './model.js';

const CHARACTER = 7.3;
const LINE_HEIGHT = 18;
const PADDING = 16;
const INDENT = 14;
const COLUMN_MIN = 150;
const HEAD = 44;

const STYLE = `
  text { font: 12px ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace; fill: #1c2330; }
  .title { font-weight: 700; }
  .note, .verdict { fill: #b3261e; }
  .verdict { font-weight: 700; }
  .quiet { fill: #6b7484; }
  .life { stroke: #c4cad4; stroke-width: 1; }
  .row { fill: #f1f4f8; }
  .paper { fill: #ffffff; }
  @media (prefers-color-scheme: dark) {
    text { fill: #dfe5ee; } .note, .verdict { fill: #ff8f86; } .quiet { fill: #8d97a8; }
    .life { stroke: #3b4452; } .row { fill: #1a212c; } .paper { fill: #11161e; }
  }`;

/** Text behind the columns is broken where it is much wider than they are. */
const VERDICT_MIN = 560;

/** Breaks at spaces into lines of at most `length` characters, longer words excepted. */
function broken(text: string, length: number): string[] {
  const out: string[] = [];
  for (const word of text.split(' ')) {
    const last = out.at(-1);
    if (last === undefined || last.length + 1 + word.length > length) out.push(word);
    else out[out.length - 1] = `${last} ${word}`;
  }
  return out;
}

/** Text as it may stand in an element or an attribute. */
export const escapeXml = (text: string): string =>
  text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/"/g, '&quot;');

/** One printed line of a cell. */
interface Printed {
  readonly x: number;
  readonly text: string;
  readonly kind: 'step' | 'note';
}

const printed = ({ indent, text, note }: DiagramLine): Printed[] => [
  { x: indent * INDENT, text, kind: 'step' },
  ...(note === '' ? [] : [{ x: (indent + 1) * INDENT, text: `\u2190 ${note}`, kind: 'note' as const }]),
];

/** The diagram as a standalone SVG document; ends with a newline. */
export function formatSvg(diagram: Diagram): string {
  const { actors, rows, verdict } = diagram;
  const widths = actors.map(({ actor, title }) => {
    const lines = rows.flatMap(({ cells }) =>
      cells.filter((cell) => cell.actor === actor).flatMap(({ lines }) => lines),
    );
    const ends = lines.flatMap(printed).map(({ x, text }) => x + text.length * CHARACTER);
    return Math.max(COLUMN_MIN, title.length * CHARACTER, ...ends) + 2 * PADDING;
  });
  const lefts = widths.map((_, column) => PADDING + widths.slice(0, column).reduce((sum, width) => sum + width, 0));
  const width = Math.ceil(Math.max(VERDICT_MIN, widths.reduce((sum, each) => sum + each, 0) + 2 * PADDING));
  const out: string[] = [];
  let y = HEAD + LINE_HEIGHT;
  const paragraph = (kind: 'quiet' | 'verdict', text: string): void => {
    for (const line of broken(text, Math.floor((width - 2 * PADDING) / CHARACTER))) {
      out.push(`<text class="${kind}" x="${PADDING}" y="${y}">${escapeXml(line)}</text>`);
      y += LINE_HEIGHT;
    }
  };
  if (diagram.earlier > 0) paragraph('quiet', `\u2026 ${diagram.earlier} earlier steps`);
  rows.forEach((row, index) => {
    const cells = row.cells.map((cell) => ({ column: actors.findIndex(({ actor }) => actor === cell.actor), cell }));
    const height = Math.max(0, ...cells.map(({ cell }) => cell.lines.flatMap(printed).length)) * LINE_HEIGHT;
    if (index % 2 === 0) out.push(`<rect class="row" x="0" y="${y - 13}" width="100%" height="${height}"/>`);
    for (const { column, cell } of cells) {
      if (column < 0) continue;
      const left = (lefts[column] as number) + PADDING;
      cell.lines.flatMap(printed).forEach(({ x, text, kind }, line) => {
        const at = `x="${(left + x).toFixed(1)}" y="${y + line * LINE_HEIGHT}"`;
        out.push(`<text${kind === 'note' ? ' class="note"' : ''} ${at}>${escapeXml(text)}</text>`);
      });
    }
    y += height;
  });
  const bottom = y;
  y += PADDING;
  if (diagram.otherActors.length > 0) paragraph('quiet', `(left out: ${diagram.otherActors.join(', ')})`);
  for (const remark of diagram.remarks ?? []) paragraph('quiet', `(${remark})`);
  if (verdict !== '') paragraph('verdict', verdict);
  const heads = actors.flatMap(({ title }, column) => {
    const x = (lefts[column] as number) + PADDING / 2;
    return [
      `<line class="life" x1="${x}" y1="${HEAD}" x2="${x}" y2="${bottom - 8}"/>`,
      `<text class="title" x="${x}" y="${HEAD - 14}">${escapeXml(title)}</text>`,
    ];
  });
  const height = y + PADDING / 2;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">`,
    `<title>${escapeXml(verdict === '' ? 'race diagram' : verdict)}</title>`,
    `<style>${STYLE}\n</style>`,
    '<rect class="paper" width="100%" height="100%"/>',
    ...[out.filter((line) => line.startsWith('<rect')), heads, out.filter((line) => !line.startsWith('<rect'))].flat(),
    '</svg>',
    '',
  ].join('\n');
}
