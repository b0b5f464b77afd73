/** A finished sweep of `tune`, when the server was given one: its recommendation, and a bar for each setting in a table. */
import type { App } from './app.js';
import { byId, h, heading } from './dom.js';
import { rate } from './format.js';

interface Estimate {
  readonly median: number;
  /** null: one run has no interval. */
  readonly low: number | null;
  readonly high: number | null;
}

/** What is shown of the report (src/lab/tune/report.ts). */
interface Sweep {
  readonly scenario: string;
  readonly policy: string;
  readonly unit: string;
  readonly runs: number;
  readonly duration_s: number;
  readonly rows: readonly {
    readonly name: string;
    readonly rate: Estimate;
    readonly ratio: Estimate | null;
    readonly samples: number;
    readonly verdict: string;
  }[];
  readonly recommended: {
    readonly name: string;
    readonly is_default: boolean;
    readonly gain: Estimate;
    readonly sure: number;
  } | null;
  readonly within_noise: boolean;
  /** Why nothing is recommended; absent in reports of older releases. */
  readonly busy?: readonly string[];
}

export class SweepPanel {
  #asked = false;

  constructor(app: App) {
    app.on('hello', ({ sweep }) => {
      if (!sweep || this.#asked) return;
      this.#asked = true;
      void this.#load();
    });
  }

  async #load(): Promise<void> {
    const panel = byId('sweep');
    try {
      const response = await fetch('api/sweep');
      const sweep: unknown = await response.json();
      if (!isSweep(sweep)) throw new Error('not the report of a finished tune');
      panel.append(...shown(sweep));
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      panel.append(heading('sweep', 'Sweep'), h('p', { class: 'calm' }, `It cannot be shown: ${why}.`));
    }
    panel.hidden = false;
    document.querySelector('#bar nav')?.append(h('a', { href: '#sweep' }, 'Sweep'));
  }
}

const isSweep = (value: unknown): value is Sweep =>
  typeof value === 'object' &&
  value !== null &&
  'command' in value &&
  value.command === 'tune' &&
  'rows' in value &&
  Array.isArray(value.rows);

function shown(sweep: Sweep): Node[] {
  const what = `${sweep.scenario}, ${sweep.policy}: ${sweep.runs} runs of ${sweep.duration_s} s`;
  const rows = sweep.rows.toSorted((a, b) => b.rate.median - a.rate.median);
  const most = Math.max(...rows.map((row) => row.rate.high ?? row.rate.median), 1e-9);
  const columns = ['setting', sweep.unit, '95 % interval', 'of default', '95 % interval', 'runs', ''];
  return [
    heading('sweep', 'Sweep', h('span', { class: 'muted num' }, what)),
    h('p', { id: 'sweep-advice' }, advice(sweep)),
    h(
      'div',
      { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'Settings of the sweep' },
      h(
        'table',
        {},
        h('caption', { class: 'sr-only' }, 'Settings, fastest first'),
        h(
          'thead',
          {},
          h('tr', {}, ...columns.map((column, i) => h('th', { scope: 'col', class: i === 0 ? 'text' : '' }, column))),
        ),
        h('tbody', {}, ...rows.map((row) => rowOf(row, most, sweep.recommended?.name === row.name))),
      ),
    ),
  ];
}

function rowOf(row: Sweep['rows'][number], most: number, chosen: boolean): HTMLElement {
  const bar = h('span', { class: 'sweep-bar', 'aria-hidden': 'true' });
  bar.style.setProperty('--share', `${(row.rate.median / most) * 100}%`);
  bar.style.setProperty('--low', `${((row.rate.low ?? row.rate.median) / most) * 100}%`);
  bar.style.setProperty('--high', `${((row.rate.high ?? row.rate.median) / most) * 100}%`);
  const { ratio } = row;
  const cells = [
    rate(row.rate.median),
    interval(row.rate, rate),
    ratio === null ? '' : ratio.median.toFixed(2),
    ratio === null ? '' : interval(ratio, (value) => value.toFixed(2)),
    String(row.samples),
    chosen ? `${row.verdict}, recommended` : row.verdict,
  ];
  return h(
    'tr',
    { class: chosen ? 'sweep-chosen' : '' },
    h('th', { scope: 'row', class: 'text' }, row.name, bar),
    ...cells.map((text) => h('td', {}, text)),
  );
}

const interval = ({ low, high }: Estimate, text: (value: number) => string): string =>
  low === null || high === null ? 'none: 1 run' : `${text(low)} to ${text(high)}`;

const change = (ratio: number): string => `${ratio >= 1 ? '+' : ''}${((ratio - 1) * 100).toFixed(1)} %`;

function advice({ recommended, within_noise, busy = [] }: Sweep): string {
  if (busy.length > 0) return `The machine was busy: ${busy.join('; ')}. Nothing is recommended.`;
  if (recommended === null) return 'Interrupted before there was an answer.';
  if (recommended.is_default) {
    return `Keep the default, ${recommended.name}: ${within_noise ? 'the differences are within the noise' : 'nothing beats it'}.`;
  }
  const { gain, sure } = recommended;
  return (
    `Recommended: ${recommended.name}, ${change(gain.median)} over the default` +
    ` (95 % interval ${interval(gain, change)}; better in ${(sure * 100).toFixed(1)} % of bootstrap samples).`
  );
}
