/** A sweep as a picture: bars with their intervals, in SVG or PNG. Loaded only when a chart is asked for. */
import { scaleBand, scaleLinear } from 'd3-scale';
import { escapeXml } from '../../trace/diagram/svg.js';
import { writeFileWhole } from '../input/whole-file.js';
import { png } from './png.js';
import type { TuneReport, TuneRow } from './report.js';

const WIDTH = 1000;
const ROW_HEIGHT = 26;
/** Above the bars, for the title; below them, for the axis; to their right, for the medians. */
const TOP = 64;
const BOTTOM = 46;
const RIGHT = 110;
/** Of the labels' font, on average. */
const LETTER_WIDTH = 6.8;
const COLOURS = {
  recommended: '#1a7f37',
  default: '#0969da',
  other: '#8c959f',
  dropped: '#d0d7de',
};

const STYLE = `
  text { font: 12px 'DejaVu Sans', Arial, sans-serif; fill: #24292f; dominant-baseline: central; }
  .title { font-size: 18px; font-weight: 700; }
  .quiet { fill: #57606a; }
  .grid { stroke: #e5e8ec; }
  .axis { stroke: #57606a; }
  .whisker { stroke: #24292f; stroke-width: 1.5; fill: none; }`;

const colourOf = (report: TuneReport, row: TuneRow): string => {
  if (report.recommended?.name === row.name) return COLOURS.recommended;
  if (row.verdict === 'default') return COLOURS.default;
  return row.verdict === 'dropped' ? COLOURS.dropped : COLOURS.other;
};

/** What the sweep came to, in a few words. */
function saidOf({ recommended, busy }: TuneReport): string {
  if (recommended !== null) {
    return `${recommended.is_default ? 'keep the default' : 'recommended'}: ${recommended.name}`;
  }
  return busy.length > 0 ? 'the machine was busy: nothing is recommended' : 'nothing is recommended';
}

const px = (value: number): string => String(Math.round(value * 10) / 10);

/** The chart as SVG text: the highest median on top. */
export function chartSvg(report: TuneReport): string {
  const rows = report.rows.toSorted((a, b) => b.rate.median - a.rate.median);
  const bottom = TOP + rows.length * ROW_HEIGHT;
  const height = bottom + BOTTOM;
  const left = Math.max(0, ...rows.map(({ name }) => name.length)) * LETTER_WIDTH + 24;
  const most = Math.max(0, ...rows.map(({ rate }) => rate.high ?? rate.median));
  const x = scaleLinear([0, most || 1], [left, WIDTH - RIGHT]).nice(5);
  const y = scaleBand(
    rows.map((_, index) => index),
    [TOP, bottom],
  ).padding(0.38);
  const axis = x.ticks(5).map((tick) => {
    const at = px(x(tick));
    const line = `<line class="grid" x1="${at}" y1="${TOP}" x2="${at}" y2="${bottom}"/>`;
    return `${line}<text class="quiet" x="${at}" y="${bottom + 16}" text-anchor="middle">${tick.toLocaleString('en')}</text>`;
  });
  const bars = rows.map((row, index) => {
    const top = y(index) ?? 0;
    const middle = px(top + y.bandwidth() / 2);
    const size = `width="${px(x(row.rate.median) - left)}" height="${px(y.bandwidth())}"`;
    return [
      `<text x="${px(left - 8)}" y="${middle}" text-anchor="end">${escapeXml(row.name)}</text>`,
      `<rect x="${px(left)}" y="${px(top)}" ${size} fill="${colourOf(report, row)}"/>`,
      whisker(row, x, Number(middle)),
    ].join('');
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img">`,
    `<style>${STYLE}\n</style>`,
    '<rect width="100%" height="100%" fill="#ffffff"/>',
    `<text class="title" x="12" y="20">${escapeXml(`pinfall tune: ${report.scenario}, ${report.policy}`)}</text>`,
    `<text class="quiet" x="12" y="44">${escapeXml(`${report.unit}, medians and 95 % intervals; ${saidOf(report)}`)}</text>`,
    ...axis,
    `<line class="axis" x1="${px(left)}" y1="${TOP}" x2="${px(left)}" y2="${bottom}"/>`,
    ...bars,
    '</svg>',
    '',
  ].join('\n');
}

/** A line from the interval's low end to its high end, and the median as text beside it. One run has no interval. */
function whisker({ rate: { low, high, median } }: TuneRow, x: (value: number) => number, y: number): string {
  const [from, to] = [px(x(low ?? median)), px(x(high ?? median))];
  const ends = `M${from} ${y}H${to}M${from} ${y - 4}v8M${to} ${y - 4}v8`;
  const text = median.toLocaleString('en', { maximumSignificantDigits: 4 });
  const beside = `<text x="${px(Number(to) + 8)}" y="${y}">${text}</text>`;
  return from === to ? beside : `<path class="whisker" d="${ends}"/>${beside}`;
}

/** Writes the chart to a file that ends in .svg or .png, whole or not at all. */
export async function writeChart(report: TuneReport, path: string): Promise<void> {
  const svg = chartSvg(report);
  writeFileWhole(path, path.endsWith('.png') ? await png(svg) : svg);
}
