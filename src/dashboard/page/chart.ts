/**
 * A small chart of rates over time, its legend with the numbers under the cursor (or the newest), and the same numbers as a
 * table. It keeps the last five minutes and no more.
 */
import uPlot from 'uplot';
import { colour, fill, h, setText, table } from './dom.js';
import { clock, rate, short } from './format.js';
import { oncePerFrame, watchVisible } from './app.js';

export interface SeriesSpec {
  readonly name: string;
  /** A custom property of the style sheet. */
  readonly colour: string;
  /** More about it, on hover. */
  readonly title?: string;
}

/** Points kept: five minutes at one a second. */
const POINTS_MAX = 300;
const TABLE_ROWS = 60;
const HEIGHT = 124;

const SYNC = uPlot.sync('time');

export class Chart {
  readonly element: HTMLElement;
  readonly #title: string;
  readonly #series: readonly SeriesSpec[];
  readonly #times: number[] = [];
  readonly #columns: readonly (number | null)[][];
  readonly #values: HTMLElement[] = [];
  readonly #items: HTMLElement[] = [];
  readonly #plotBox = h('div', { class: 'plot' });
  readonly #tableBox = h('div', { class: 'numbers', tabindex: '0', hidden: true });
  readonly #nothing = h('span', { hidden: true }, 'none in the time shown');
  readonly #toggle: HTMLButtonElement;
  readonly #visible: () => boolean;
  #body: HTMLElement | null = null;
  #plot: uPlot | null = null;
  readonly #drawSoon = oncePerFrame(() => this.#draw());
  #stale = true;

  /** @param unit behind the title: `/s` */
  constructor(title: string, unit: string, series: readonly SeriesSpec[], hint = '') {
    this.#title = title;
    this.#series = series;
    this.#columns = series.map(() => []);
    this.#toggle = h('button', { type: 'button', class: 'quiet', 'aria-pressed': 'false' }, 'table');
    this.#toggle.addEventListener('click', () => this.showTable(this.#tableBox.hidden !== false));
    const legend = h('div', { class: 'legend' }, this.#nothing);
    series.forEach((spec, index) => {
      const value = h('span', { class: 'num' }, '-');
      const item = h(
        'button',
        { type: 'button', class: 'series', 'aria-pressed': 'true', title: spec.title ?? `show or hide ${spec.name}` },
        h('i', { class: 'swatch' }),
        spec.name,
        ' ',
        value,
      );
      (item.firstElementChild as HTMLElement).style.background = `var(${spec.colour})`;
      item.addEventListener('click', () => this.#toggleSeries(index));
      this.#values.push(value);
      this.#items.push(item);
      legend.append(item);
    });
    this.element = h(
      'figure',
      { class: 'chart', 'aria-label': title },
      h('figcaption', { title: hint }, h('span', {}, title, ' ', h('small', {}, unit)), this.#toggle),
      this.#plotBox,
      this.#tableBox,
      legend,
    );
    this.#visible = watchVisible(this.element, () => this.#draw());
  }

  /** Adds a point. A rate that is not known is null. */
  push(time: number, values: readonly (number | null)[]): void {
    this.#times.push(time);
    this.#columns.forEach((column, index) => column.push(values[index] ?? null));
    if (this.#times.length > POINTS_MAX) for (const column of [this.#times, ...this.#columns]) column.shift();
    this.#stale = true;
    this.#drawSoon();
  }

  /** A hole: messages are missing here. */
  gap(): void {
    const last = this.#times.at(-1);
    if (last !== undefined) this.push(last + 0.001, []);
  }

  clear(): void {
    for (const column of [this.#times, ...this.#columns]) column.length = 0;
    this.#stale = true;
    this.#drawSoon();
  }

  showTable(shown: boolean): void {
    this.#tableBox.hidden = !shown;
    this.#plotBox.hidden = shown;
    this.#toggle.setAttribute('aria-pressed', String(shown));
    this.#stale = true;
    this.#draw();
  }

  /** Draws anew in other colours. */
  redraw(): void {
    this.#plot?.redraw(false, true);
  }

  #draw(): void {
    if (!this.#stale || !this.#visible()) return;
    this.#stale = false;
    if (this.#plotBox.hidden) this.#drawTable();
    else {
      this.#plot ??= this.#makePlot();
      this.#plot.setData([this.#times, ...this.#columns]);
    }
    // of many series, those that did nothing in all the time shown are not worth a line in the legend
    const many = this.#series.length > 4;
    const active = this.#columns.map((column) => column.some((value) => value !== null && value > 0));
    this.#items.forEach((item, index) => (item.hidden = many && active[index] !== true));
    this.#nothing.hidden = !many || active.includes(true);
    this.#showValues(this.#plot?.cursor.idx ?? null);
  }

  #drawTable(): void {
    if (this.#body === null) {
      const columns = ['time', ...this.#series.map(({ name }) => name)];
      const { element, body } = table(`${this.#title}, newest first`, columns);
      this.#tableBox.replaceChildren(element);
      this.#body = body;
    }
    const columns = this.#columns;
    const known = columns.map((column) => column.filter((value) => value !== null));
    const rows = [
      [
        'mean',
        ...known.map((values) => rate(values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length))),
      ],
      ['max', ...known.map((values) => rate(Math.max(0, ...values)))],
    ];
    for (let i = this.#times.length - 1; i >= 0 && rows.length < TABLE_ROWS; i--) {
      rows.push([clock(this.#times[i] ?? 0), ...columns.map((column) => shown(column[i]))]);
    }
    fill(this.#body, rows);
  }

  #showValues(index: number | null): void {
    const at = index ?? this.#times.length - 1;
    this.#values.forEach((value, series) => setText(value, shown(this.#columns[series]?.[at])));
  }

  #toggleSeries(index: number): void {
    const item = this.#items[index] as HTMLElement;
    const show = item.getAttribute('aria-pressed') !== 'true';
    item.setAttribute('aria-pressed', String(show));
    this.#plot?.setSeries(index + 1, { show });
  }

  #makePlot(): uPlot {
    const font = '11px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace';
    const axis: uPlot.Axis = {
      font,
      stroke: () => colour('--muted'),
      grid: { stroke: () => colour('--grid'), width: 1 },
      ticks: { show: false },
    };
    const plot = new uPlot(
      {
        width: Math.max(200, this.#plotBox.clientWidth),
        height: HEIGHT,
        legend: { show: false },
        padding: [8, 6, 0, 0],
        cursor: { y: false, drag: { x: false, y: false }, sync: { key: SYNC.key }, points: { size: 5 } },
        scales: { x: { time: false }, y: { range: (_, _low, high) => [0, high > 0 ? high * 1.08 : 1] } },
        axes: [
          { ...axis, size: 22, space: 60, values: (_, splits) => splits.map(clock) },
          { ...axis, size: 46, space: 28, values: (_, splits) => splits.map(short) },
        ],
        series: [
          {},
          ...this.#series.map((spec, index): uPlot.Series => ({
            label: spec.name,
            stroke: () => colour(spec.colour),
            width: 1.5,
            points: { show: false },
            show: this.#items[index]?.getAttribute('aria-pressed') === 'true',
          })),
        ],
        hooks: { setCursor: [({ cursor }) => this.#showValues(cursor.idx ?? null)] },
      },
      [this.#times, ...this.#columns],
      this.#plotBox,
    );
    new ResizeObserver(() => {
      const width = this.#plotBox.clientWidth;
      if (width > 0) plot.setSize({ width, height: HEIGHT });
    }).observe(this.#plotBox);
    return plot;
  }
}

const shown = (value: number | null | undefined): string => (value === null || value === undefined ? '-' : rate(value));
