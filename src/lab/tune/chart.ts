/** A sweep as a picture: bars with their intervals, in SVG or PNG. Loaded only when a chart is asked for. */
import { type EChartsCoreOption, init, use } from 'echarts/core';
import { BarChart, CustomChart } from 'echarts/charts';
import { GridComponent, TitleComponent } from 'echarts/components';
import { SVGRenderer } from 'echarts/renderers';
import { writeFileWhole } from '../whole-file.js';
import type { TuneReport, TuneRow } from './report.js';

use([BarChart, CustomChart, GridComponent, TitleComponent, SVGRenderer]);

const WIDTH = 1000;
const ROW_HEIGHT = 26;
/** Of the labels' font, on average. */
const LETTER_WIDTH = 6.8;
const FONT = 'DejaVu Sans, Arial, sans-serif';
const COLOURS = {
  recommended: '#1a7f37',
  default: '#0969da',
  other: '#8c959f',
  dropped: '#d0d7de',
  whisker: '#24292f',
};

const colourOf = (report: TuneReport, row: TuneRow): string => {
  if (report.recommended?.name === row.name) return COLOURS.recommended;
  if (row.verdict === 'default') return COLOURS.default;
  return row.verdict === 'dropped' ? COLOURS.dropped : COLOURS.other;
};

/** The chart as SVG text. */
export function chartSvg(report: TuneReport): string {
  // the category axis counts from below
  const rows = report.rows.toSorted((a, b) => a.rate.median - b.rate.median);
  const height = 110 + rows.length * ROW_HEIGHT;
  const chart = init(null, null, { renderer: 'svg', ssr: true, width: WIDTH, height });
  try {
    chart.setOption(optionOf(report, rows));
    return chart.renderToSVGString();
  } finally {
    // its animation timer would keep the process
    chart.dispose();
  }
}

function optionOf(report: TuneReport, rows: readonly TuneRow[]): EChartsCoreOption {
  const { recommended } = report;
  const widest = Math.max(...rows.map(({ name }) => name.length));
  const said =
    recommended === null
      ? report.busy.length > 0
        ? 'the machine was busy: nothing is recommended'
        : 'nothing is recommended'
      : `${recommended.is_default ? 'keep the default' : 'recommended'}: ${recommended.name}`;
  return {
    animation: false,
    backgroundColor: '#ffffff',
    textStyle: { fontFamily: FONT },
    title: {
      text: `pinfall tune: ${report.scenario}, ${report.policy}`,
      subtext: `${report.unit}, medians and 95 % intervals; ${said}`,
      left: 12,
      top: 8,
    },
    grid: { left: widest * LETTER_WIDTH + 24, right: 110, top: 64, bottom: 36 },
    xAxis: { type: 'value', min: 0, splitNumber: 5 },
    yAxis: { type: 'category', data: rows.map(({ name }) => name), axisTick: { show: false } },
    series: [
      {
        type: 'bar',
        barWidth: '62%',
        data: rows.map((row) => ({ value: row.rate.median, itemStyle: { color: colourOf(report, row) } })),
      },
      {
        type: 'custom',
        z: 3,
        // one run has no interval: its ends are the median
        data: rows.map(({ rate: { low, high, median } }, index) => [index, low ?? median, high ?? median, median]),
        encode: { x: [1, 2], y: 0 },
        renderItem: whisker,
      },
    ],
  };
}

interface ItemApi {
  value(dimension: number): number;
  coord(point: readonly number[]): number[];
}

/** A line from the interval's low end to its high end, and the median as text beside it. */
function whisker(_params: unknown, api: ItemApi): object {
  const at = (value: number): number[] => api.coord([value, api.value(0)]);
  const [x1 = 0, y = 0] = at(api.value(1));
  const [x2 = 0] = at(api.value(2));
  const style = { stroke: COLOURS.whisker, lineWidth: 1.5 };
  const line = (fromX: number, fromY: number, toX: number, toY: number): object => ({
    type: 'line',
    shape: { x1: fromX, y1: fromY, x2: toX, y2: toY },
    style,
  });
  const text = api.value(3).toLocaleString('en', { maximumSignificantDigits: 4 });
  const ends = [line(x1, y, x2, y), line(x1, y - 4, x1, y + 4), line(x2, y - 4, x2, y + 4)];
  return {
    type: 'group',
    children: [
      ...(x1 === x2 ? [] : ends),
      {
        type: 'text',
        x: x2 + 8,
        y,
        style: { text, verticalAlign: 'middle', font: `12px ${FONT}`, fill: COLOURS.whisker },
      },
    ],
  };
}

/** Writes the chart to a file that ends in .svg or .png, whole or not at all. */
export async function writeChart(report: TuneReport, path: string): Promise<void> {
  const svg = chartSvg(report);
  const data = path.endsWith('.png') ? await png(svg) : svg;
  writeFileWhole(path, data);
}

async function png(svg: string): Promise<Uint8Array> {
  const { Resvg } = await import('@resvg/resvg-js');
  return new Resvg(svg, {
    fitTo: { mode: 'zoom', value: 2 },
    font: { loadSystemFonts: true, defaultFontFamily: 'DejaVu Sans', sansSerifFamily: 'DejaVu Sans' },
  })
    .render()
    .asPng();
}
