/** Now: what runs, what it does per second and in all, who unmaps pinned pages, what went wrong. */
import { MECHANISM_ROWS } from '../../machine/mechanisms.js';
import type { HelloMessage, MetricsMessage, RaceMessage } from '../protocol.js';
import { type App, oncePerFrame } from './app.js';
import { Chart, type SeriesSpec } from './chart.js';
import { byId, fill, h, heading, setText, table } from './dom.js';
import { clock, micros, percent, rate, whole } from './format.js';

/** Who runs a mechanism, and what it does, by the function that it is known by. */
const WHO_AND_WHAT = new Map(MECHANISM_ROWS.map(({ name, who, what }) => [name as string, { who, what }]));

/** Mechanisms with a line in the charts; the legend leaves out those that do nothing. */
const CHARTED = MECHANISM_ROWS.flatMap(({ name, colours }) => (colours === null ? [] : [name]));

const series = (names: readonly string[], prefix: string): SeriesSpec[] =>
  names.map((name) => {
    const row = WHO_AND_WHAT.get(name);
    return { name, colour: `--${prefix}-${name}`, title: row === undefined ? name : `${row.who}: ${row.what}` };
  });

/** Rates between two metrics messages. */
interface Interval {
  readonly seconds: number;
  op(name: string): number;
  mechanism(name: string, counter: string): number;
}

export class NowPanel {
  readonly #app: App;
  readonly #figures = new Map<string, HTMLElement>();
  readonly #answer = h('p', { class: 'answer', id: 'who-unmaps' });
  readonly #mechanisms = table(
    'Mechanisms, per second and since the run began',
    [
      'mechanism',
      'run by',
      'notifiers/s',
      'total',
      'pinned pages hit',
      's2 unmaps/s',
      'total',
      'of pinned/s',
      'total',
      'pages moved',
      'backed out',
    ],
    2,
  );
  readonly #latencies = table('Latencies since the run began', ['operation', 'count', 'p50', 'p99', 'max']);
  readonly #ops = table('All counters', ['counter', 'per second', 'total']);
  readonly #events = table('Events', ['events', 'per second', 'total']);
  readonly #rings = h('div', { class: 'rings' });
  readonly #legend = h('div');
  readonly #violations = h('ol', { class: 'ticker', 'aria-label': 'Newest violations' });
  readonly #noViolation = h('p', { class: 'calm' }, 'No violation in this run.');
  readonly #charts: Readonly<Record<'accesses' | 'faults' | 'notifiers' | 'pinned' | 'work' | 'events', Chart>>;
  readonly #drawSoon = oncePerFrame(() => this.#draw());
  /** The newest totals, and those before them. */
  #now: MetricsMessage | null = null;
  #before: MetricsMessage | null = null;

  constructor(app: App) {
    this.#app = app;
    this.#charts = {
      accesses: new Chart('Accesses', '/s', [
        { name: 'accesses', colour: '--c1', title: 'of all vCPUs and host tasks' },
        { name: 'tlb_misses', colour: '--c2' },
      ]),
      faults: new Chart('Faults', '/s', [
        { name: 'faults', colour: '--c1', title: 'of the host' },
        { name: 'stage2_faults', colour: '--c2' },
        { name: 'stage2_retries', colour: '--c3', title: 'mmu_invalidate_retry saw an invalidation in between' },
        { name: 'numa_hint_faults', colour: '--c4' },
      ]),
      notifiers: new Chart('Notifiers by mechanism', '/s', series(CHARTED, 'm'), 'invalidate_range_start'),
      pinned: new Chart('Pinned pages unmapped at stage 2', '/s', series(CHARTED, 'm'), 'who takes them away'),
      work: new Chart('Merges, migrations, collapses', 'pages/s', [
        { name: 'merged', colour: '--m-ksm', title: 'pages merged by ksmd' },
        { name: 'migrated', colour: '--m-numa_migrate', title: 'pages moved by numa_migrate and longterm_migrate' },
        { name: 'collapsed', colour: '--m-khugepaged', title: 'pages moved into huge ones by khugepaged' },
      ]),
      events: new Chart('Events', '/s', [
        { name: 'written', colour: '--c1' },
        { name: 'delivered', colour: '--c2' },
        { name: 'dropped', colour: '--bad' },
      ]),
    };
    this.#build();
    app.on('hello', ({ legend }) => this.#legend.replaceChildren(legendOf(legend)));
    app.on('metrics', (message) => this.#metrics(message));
    app.on('race', (message) => this.#race(message));
    app.on('run', () => this.#clear());
    app.on('gap', () => {
      for (const chart of Object.values(this.#charts)) chart.gap();
    });
    app.on('theme', () => {
      for (const chart of Object.values(this.#charts)) chart.redraw();
    });
  }

  /** All charts as tables, or as charts. */
  showTables(shown: boolean): void {
    for (const chart of Object.values(this.#charts)) chart.showTable(shown);
  }

  #build(): void {
    const figures: readonly (readonly [key: string, label: string, title: string])[] = [
      ['accesses', 'accesses/s', 'of all vCPUs and host tasks'],
      ['stage2_faults', 'stage-2 faults/s', ''],
      ['notifier_starts', 'notifiers/s', 'invalidate_range_start'],
      ['pinned', 'pinned pages unmapped/s', 'at stage 2, by all mechanisms'],
      ['dropped', 'events dropped', 'of this run, in all'],
      ['violations', 'violations', 'of this run, in all'],
    ];
    const strip = h('dl', { class: 'figures' });
    for (const [key, label, title] of figures) {
      const value = h('dd', { class: 'num', id: `figure-${key}` }, '-');
      this.#figures.set(key, value);
      strip.append(h('div', { title }, h('dt', {}, label), value));
    }
    const { pinned, notifiers, faults, accesses, work, events } = this.#charts;
    this.#mechanisms.element.id = 'mechanism-table';
    this.#latencies.element.id = 'latency-table';
    this.#ops.element.id = 'ops-table';
    this.#events.element.id = 'events-table';
    byId('now').append(
      heading('now', 'Now', h('span', { class: 'muted', id: 'now-what' })),
      strip,
      this.#answer,
      h(
        'div',
        { class: 'charts' },
        ...[pinned, notifiers, faults, accesses, work, events].map(({ element }) => element),
      ),
      h(
        'div',
        { class: 'now-tables' },
        h('div', { class: 'scroll wide', tabindex: '0' }, h('h3', {}, 'Mechanisms'), this.#mechanisms.element),
        h('div', { class: 'scroll', tabindex: '0' }, h('h3', {}, 'Latency'), this.#latencies.element),
        h(
          'div',
          {},
          h('h3', {}, 'Violations'),
          this.#noViolation,
          this.#violations,
          h('h3', {}, 'Event rings'),
          this.#rings,
          this.#events.element,
        ),
      ),
      h(
        'details',
        { class: 'all-counters' },
        h('summary', {}, 'All counters'),
        h('div', { class: 'scroll columns' }, this.#ops.element),
      ),
      this.#legend,
    );
  }

  #clear(): void {
    this.#now = null;
    this.#before = null;
    for (const chart of Object.values(this.#charts)) chart.clear();
    this.#violations.replaceChildren();
    this.#noViolation.hidden = false;
    for (const key of this.#figures.keys()) this.#figure(key, '-');
    for (const { body } of [this.#mechanisms, this.#latencies, this.#ops, this.#events]) body.replaceChildren();
    this.#rings.replaceChildren();
    setText(this.#answer, '');
    setText(byId('now-what'), '');
  }

  #metrics(message: MetricsMessage): void {
    const { hello } = this.#app;
    if (hello === null) return;
    const before = this.#now;
    this.#before = before;
    this.#now = message;
    this.#drawSoon();
    if (before === null) return;
    const { op, mechanism, seconds } = intervalOf(hello, before, message);
    const at = message.elapsed_s;
    const { accesses, faults, notifiers, pinned, work, events } = this.#charts;
    accesses.push(at, ['accesses', 'tlb_misses'].map(op));
    faults.push(at, ['faults', 'stage2_faults', 'stage2_retries', 'numa_hint_faults'].map(op));
    notifiers.push(
      at,
      CHARTED.map((name) => mechanism(name, 'notifier_starts')),
    );
    pinned.push(
      at,
      CHARTED.map((name) => mechanism(name, 'stage2_unmaps_pinned')),
    );
    work.push(at, [
      op('ksm_merged'),
      mechanism('numa_migrate', 'pages_moved') + mechanism('longterm_migrate', 'pages_moved'),
      mechanism('khugepaged', 'pages_moved'),
    ]);
    const { written, delivered, dropped } = before.events;
    const now = message.events;
    events.push(
      at,
      [now.written - written, now.delivered - delivered, now.dropped - dropped].map((by) => Math.max(0, by) / seconds),
    );
  }

  #draw(): void {
    const { hello, state } = this.#app;
    const message = this.#now;
    if (hello === null || message === null) return;
    const { op, mechanism, seconds } = intervalOf(hello, this.#before, message);
    setText(
      byId('now-what'),
      `${clock(message.elapsed_s)} of run ${message.run}; ${state?.actors.length ?? 0} actors on ${state?.placement.workers ?? 0} workers`,
    );
    const column = (name: string): number => hello.mechanismCounters.indexOf(name);
    const total = (index: number, counter: string): number => message.mechanisms[index]?.[column(counter)] ?? 0;
    const pinnedRate = hello.mechanisms.reduce((sum, name) => sum + mechanism(name, 'stage2_unmaps_pinned'), 0);
    this.#figure('accesses', rate(op('accesses')));
    this.#figure('stage2_faults', rate(op('stage2_faults')));
    this.#figure('notifier_starts', rate(op('notifier_starts')));
    this.#figure('pinned', rate(pinnedRate));
    this.#figure('dropped', whole(message.events.dropped));
    this.#figure('violations', whole(message.violations), message.violations > 0);

    const active = hello.mechanisms
      .map((name, index) => ({ name, index }))
      .filter(({ index }) => message.mechanisms[index]?.some((value) => value > 0) === true);
    fill(
      this.#mechanisms.body,
      active.map(({ name, index }) => [
        name,
        WHO_AND_WHAT.get(name)?.who ?? '',
        rate(mechanism(name, 'notifier_starts')),
        whole(total(index, 'notifier_starts')),
        whole(total(index, 'pinned_hit')),
        rate(mechanism(name, 'stage2_unmaps')),
        whole(total(index, 'stage2_unmaps')),
        rate(mechanism(name, 'stage2_unmaps_pinned')),
        whole(total(index, 'stage2_unmaps_pinned')),
        whole(total(index, 'pages_moved')),
        whole(total(index, 'backed_out')),
      ]),
      2,
    );
    this.#sayWho(
      active.map(({ name, index }) => ({
        name,
        total: total(index, 'stage2_unmaps_pinned'),
        rate: mechanism(name, 'stage2_unmaps_pinned'),
      })),
    );
    fill(
      this.#latencies.body,
      hello.latencies.flatMap((name, index) => {
        const [count = 0, p50 = 0, p99 = 0, max = 0] = message.latencies[index] ?? [];
        return count === 0 ? [] : [[name, whole(count), micros(p50), micros(p99), micros(max)]];
      }),
    );
    fill(
      this.#ops.body,
      hello.ops.map((name, index) => [name, rate(op(name)), whole(message.ops[index] ?? 0)]),
    );
    const before = (this.#before ?? message).events;
    fill(
      this.#events.body,
      (['written', 'delivered', 'dropped', 'waits'] as const).map((name) => [
        name === 'waits' ? 'waits for room' : name,
        rate(Math.max(0, message.events[name] - before[name]) / seconds),
        whole(message.events[name]),
      ]),
    );
    this.#drawRings(message);
  }

  /** The question that this page is asked most, answered in a sentence. */
  #sayWho(rows: readonly { readonly name: string; readonly total: number; readonly rate: number }[]): void {
    const taking = rows.filter((row) => row.total > 0).toSorted((a, b) => b.total - a.total);
    const sum = taking.reduce((all, row) => all + row.total, 0);
    if (sum === 0) {
      setText(this.#answer, 'No pinned page has lost its stage-2 entry in this run.');
      return;
    }
    const parts = taking
      .slice(0, 5)
      .map(
        (row) =>
          `${row.name} (${WHO_AND_WHAT.get(row.name)?.who ?? '?'}) ${whole(row.total)}, ${percent(row.total / sum)}, now ${rate(row.rate)}/s`,
      );
    setText(
      this.#answer,
      `Pinned pages lost their stage-2 entry ${whole(sum)} times, to ${parts.join('; ')}${taking.length > 5 ? '; ...' : ''}.`,
    );
  }

  #drawRings({ rings, events }: MetricsMessage): void {
    if (rings === undefined) {
      setText(this.#rings, `${whole(events.dropped)} events dropped`);
      return;
    }
    if (this.#rings.childElementCount !== rings.length) {
      this.#rings.replaceChildren(
        ...rings.map(({ worker }) =>
          h(
            'label',
            {},
            `worker ${worker} `,
            h('meter', { min: 0, max: 1, low: 0.5, high: 0.85, optimum: 0 }),
            h('span', { class: 'num' }),
          ),
        ),
      );
    }
    rings.forEach(({ worker, records, capacity }, index) => {
      const label = this.#rings.children[index];
      const meter = label?.querySelector('meter');
      const value = label?.querySelector('span');
      const share = capacity === 0 ? 0 : records / capacity;
      if (meter) meter.value = share;
      if (value) setText(value, percent(share));
      label?.setAttribute('title', `worker ${worker}: ${whole(records)} of ${whole(capacity)} records`);
    });
  }

  #figure(key: string, text: string, bad = false): void {
    const element = this.#figures.get(key);
    if (element === undefined) return;
    setText(element, text);
    element.classList.toggle('bad', bad);
  }

  #race(message: RaceMessage): void {
    if (message.kind !== 'violation') return;
    this.#noViolation.hidden = true;
    this.#violations.prepend(
      h('li', {}, h('a', { href: `#race-${message.id}` }, `${clock(message.at_s)} ${message.title}: ${message.what}`)),
    );
    while (this.#violations.childElementCount > 5) this.#violations.lastElementChild?.remove();
  }
}

/** What every number on the page counts: the texts of `--legend`. */
function legendOf(groups: HelloMessage['legend']): HTMLElement {
  return h(
    'details',
    { class: 'all-counters', id: 'legend' },
    h('summary', {}, 'What these count'),
    ...groups.flatMap(([title, rows]) => [
      h('h3', {}, title),
      h(
        'dl',
        { class: 'facts' },
        ...Object.entries(rows).flatMap(([name, what]) => [h('dt', {}, name), h('dd', {}, what)]),
      ),
    ]),
  );
}

function intervalOf(hello: HelloMessage, before: MetricsMessage | null, now: MetricsMessage): Interval {
  const seconds = before === null ? 1 : Math.max(now.elapsed_s - before.elapsed_s, 1e-3);
  const grown = (value: number | undefined, last: number | undefined): number =>
    before === null ? 0 : Math.max(0, (value ?? 0) - (last ?? 0)) / seconds;
  return {
    seconds,
    op(name) {
      const index = hello.ops.indexOf(name);
      return grown(now.ops[index], before?.ops[index]);
    },
    mechanism(name, counter) {
      const row = hello.mechanisms.indexOf(name);
      const column = hello.mechanismCounters.indexOf(counter);
      return grown(now.mechanisms[row]?.[column], before?.mechanisms[row]?.[column]);
    },
  };
}
