/** The page over a real run on threads: its figures are the report's, its knobs move real actors. */
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Dashboard } from '#src/dashboard/dashboard.js';
import { PAGE_STATES } from '#src/lab/live/types.js';
import type { Report } from '#src/lab/report/run-row.js';
import { Simulation } from '#src/lab/run/simulation.js';
import { launch, open, rowsOf } from './browser.js';
import { CHROMIUM, describeWith } from './programs.js';
import { until } from './serve.js';

const number = (text: string | undefined): number => Number((text ?? '').replaceAll(',', ''));

describeWith(CHROMIUM, 'the page over a real run', () => {
  let browser: Browser;
  let dashboard: Dashboard;
  let simulation: Simulation;
  let page: Page;
  let complaints: string[];

  beforeAll(async () => {
    dashboard = await Dashboard.start({
      port: 0,
      choice: { scenario: 'synthetic-guest', seed: 3, workers: 3 },
      start: async ({ scenario, seed = 3, workers = 3 }) =>
        (simulation = await Simulation.start({ scenario, seed, workers, events: 'lossy', metricsMs: 200 })),
    });
    await dashboard.session.begin();
    browser = await launch();
    ({ page, complaints } = await open(browser, dashboard.url));
  });
  afterAll(async () => {
    await browser.close();
    await dashboard.close();
  });

  const text = (selector: string): Promise<string> => page.$eval(selector, (element) => element.textContent ?? '');
  const status = (expected: string): Promise<void> =>
    until(`status ${expected}`, async () => (await text('#status')) === expected);

  /** Every total that the page shows is the report's. */
  async function agrees(report: Report): Promise<void> {
    const ops = new Map((await rowsOf(page, '#ops-table')).map(([name, , total]) => [name, number(total)]));
    expect(Object.fromEntries(ops)).toEqual(report.ops);
    const shown = (await rowsOf(page, '#mechanism-table')).map(
      ([name, , , starts, pinned, , unmaps, , ofPinned, moved, out]) => ({
        name,
        notifier_starts: number(starts),
        pinned_hit: number(pinned),
        stage2_unmaps: number(unmaps),
        stage2_unmaps_pinned: number(ofPinned),
        pages_moved: number(moved),
        backed_out: number(out),
      }),
    );
    const expected = report.mechanisms.filter(({ name: _, ...counters }) =>
      Object.values(counters).some((count) => count > 0),
    );
    expect(shown).toEqual(expected);
    const latencies = new Map((await rowsOf(page, '#latency-table')).map(([name, count]) => [name, number(count)]));
    for (const [name, { count }] of Object.entries(report.latency_us))
      expect([name, latencies.get(name) ?? 0]).toEqual([name, count]);
    expect(number(await text('#figure-violations'))).toBe(report.violation_count);
  }

  it('shows the figures of the report while it is paused', async () => {
    await until('a run', async () => number(await text('#figure-accesses')) > 0);
    await page.click('#bar-go');
    await status('paused');
    const report = simulation.reportSoFar();
    expect(report.ops.accesses).toBeGreaterThan(0);
    await until(
      'the last total',
      async () => number((await rowsOf(page, '#ops-table'))[0]?.[2]) === report.ops.accesses,
    );
    await agrees(report);
  });

  it('shows the memory and the actors as they are', async () => {
    const map = simulation.memoryMap(0);
    const counts = PAGE_STATES.map((_, state) => map.filter((byte) => byte === state).length);
    await until('the states', async () => number((await rowsOf(page, '#state-table'))[0]?.[1]) === counts[0]);
    const shown = (await rowsOf(page, '#state-table')).map(([, pages]) => number(pages));
    expect(shown).toEqual(
      counts.filter((count, state) => count > 0 || !['swapped', 'no_slot'].includes(PAGE_STATES[state] as string)),
    );
    const pinned = map.indexOf(PAGE_STATES.indexOf('pinned'));
    await page.fill('input[aria-label="Go to gfn"]', `0x${pinned.toString(16)}`);
    await page.keyboard.press('Enter');
    const info = simulation.page(0, pinned);
    await until('the page', async () => (await text('.page-view h3')) === `gfn 0x${pinned.toString(16)} of vm0`);
    expect(number(await text('[data-fact=refcount]'))).toBe(info.refs);
    expect(number(await text('[data-fact=pins]'))).toBe(info.pins);
    expect(await text('[data-fact="stage 2"]')).toBe(info.stage2.text);
    const lanes = await page.$$eval('.lane .who', (names) => names.map((name) => name.textContent));
    expect(lanes).toEqual(simulation.plan.actors.map(({ name }) => name));
  });

  it('steps one actor alone', async () => {
    const steps = (): number[] => simulation.actors().map((actor) => actor.steps);
    await page.selectOption('#knobs select[aria-label="Actor to step"]', 'vmm');
    await page.click('#knobs-step');
    await status('stepping');
    await until('a line', async () => /vmm/.test(await text('.step-log')));
    const before = steps();
    await page.click('#knobs-step');
    await page.click('#knobs-step');
    await until('a step', () => steps().some((count, actor) => count !== before[actor]));
    const moved = simulation.plan.actors.filter((_, actor) => steps()[actor] !== before[actor]).map(({ name }) => name);
    expect(moved).toEqual(['vmm']);
  });

  it('moves real actors and turns real knobs, and loses nothing', async () => {
    await page.click('#knobs-go');
    await status('running');
    await page.fill('input[data-knob="ksmd.sleep_us"]', '4321');
    await page.keyboard.press('Enter');
    await until('the knob', () =>
      simulation.knobs().some(({ name, value }) => name === 'ksmd.sleep_us' && value === 4321),
    );
    await page.fill('#workers', '2');
    await page.click('#apply-workers');
    await until('two workers', () => simulation.placement().workers === 2);
    await until('the word of the audit', async () =>
      /^2 workers: .*the audit found nothing lost$/.test(await text('#note')),
    );
    await page.selectOption('select[data-actor=ksmd]', '2');
    await until('a third', () => simulation.placement().workers === 3);
    const accesses = simulation.reportSoFar().ops.accesses;
    await until('accesses', () => simulation.reportSoFar().ops.accesses > accesses);
  });

  it('shows the last report when it is stopped', async () => {
    await page.click('#bar-stop');
    await status('ended');
    const report = dashboard.session.report;
    expect(report?.ok).toBe(true);
    await until(
      'the last totals',
      async () => number((await rowsOf(page, '#ops-table'))[0]?.[2]) === report?.ops.accesses,
    );
    await agrees(report as Report);
    expect(complaints).toEqual([]);
  });
});
