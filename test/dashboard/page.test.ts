/** The page in a real Chromium: every panel shows what the run says, every knob acts, nothing goes missing unnoticed. */
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { MECHANISMS } from '#src/machine/mechanisms.js';
import { PAGE_STATES } from '#src/lab/live/types.js';
import { Proxy, launch, open, rowsOf } from './browser.js';
import { CHROMIUM, describeWith } from './programs.js';
import { type Served, serveFake, until } from './serve.js';

const text = (page: Page, selector: string): Promise<string> =>
  page.$eval(selector, (element) => element.textContent ?? '');

const background = (each: Page): Promise<string> =>
  each.evaluate<string>('getComputedStyle(document.body).backgroundColor');

describeWith(CHROMIUM, 'the page', () => {
  let browser: Browser;
  let served: Served;
  let page: Page;
  let complaints: string[];

  const says = (selector: string, expected: string | RegExp): Promise<void> =>
    until(`${selector} to say ${String(expected)}`, async () => {
      const now = await text(page, selector);
      return typeof expected === 'string' ? now === expected : expected.test(now);
    });
  const does = (what: string): Promise<void> => until(what, () => served.run.done.includes(what));

  beforeAll(async () => {
    served = await serveFake({ hub: { keptMessages: 150 } });
    browser = await launch();
    ({ page, complaints } = await open(browser, `${served.base}/`));
  });
  afterAll(async () => {
    await browser.close();
    await served.page.close();
  });

  it('shows what runs, rates and totals, and who unmaps pinned pages', async () => {
    served.run.second(1000);
    served.run.second(2500, 40);
    await says('#figure-accesses', '2,500');
    await says('#figure-pinned', '40');
    await says('#figure-dropped', '3,500');
    await says('#who-unmaps', /lost their stage-2 entry 40 times, to numa_scan \(numa-balancer\) 40, 100 %, now 40\/s/);
    await says('#what-runs', /synthetic-guest\s+pinned-notifiers\s+seed 7\s+2 workers/);
    await says('#status', 'running');
    const [row] = await rowsOf(page, '#mechanism-table');
    expect(row).toEqual(['numa_scan', 'numa-balancer', '0', '0', '0', '40', '40', '40', '40', '0', '0']);
    const ops = new Map((await rowsOf(page, '#ops-table')).map(([name, , total]) => [name, total]));
    expect(ops.get('accesses')).toBe('3,500');
    expect(await rowsOf(page, '#latency-table')).toContainEqual(['pin', '10', '2.00 us', '40.00 us', '900 us']);
    expect(await rowsOf(page, '#events-table')).toContainEqual(['dropped', '2,500', '3,500']);
    expect(await text(page, '.rings')).toMatch(/worker 0 25 %/);
  });

  it('has the numbers of each chart as a table', async () => {
    served.run.second(4000, 8);
    await says('#figure-accesses', '4,000');
    const charts = await page.$$('.chart');
    expect(charts.length).toBe(6);
    await page.keyboard.press('d');
    expect(await page.$$eval('.chart .numbers', (boxes) => boxes.filter((box) => !box.hidden).length)).toBe(6);
    const rows = await rowsOf(page, 'figure[aria-label=Accesses]');
    expect(rows.slice(0, 4)).toEqual([
      ['mean', '3,250', '0'],
      ['max', '4,000', '0'],
      ['0:03', '4,000', '0'],
      ['0:02', '2,500', '0'],
    ]);
    await page.keyboard.press('d');
    expect(await page.$$eval('.chart canvas', (canvases) => canvases.length)).toBe(6);
  });

  it('has a lane for each actor, and shows at once who waits, who is stuck, who is dead', async () => {
    const [vcpu0, dma, ksmd] = served.run.lanes;
    if (!vcpu0 || !dma || !ksmd) throw new Error('three lanes');
    dma.state = 'blocked';
    dma.waits = { what: 'mm0 mmap_lock', lock: true, idle: false, holders: [{ name: 'ksmd', mode: 'write' }] };
    ksmd.stuckSinceMs = served.run.elapsedSeconds * 1000 - 5000;
    await page.locator('#actors').scrollIntoViewIfNeeded();
    await says('.lane:nth-child(1) .doing', 'stage2_map(gfn 0x12): pfn 0x4d');
    await says('.lane:nth-child(2) .waits', 'waits for mm0 mmap_lock, held by ksmd');
    await says('.lane:nth-child(3) .state', 'STUCK 5 s');
    await says('.alarm', 'ksmd has stood still for 5.0 s');
    vcpu0.alive = false;
    await says('.lane:nth-child(1) .state', 'DEAD');
    const looks = await page.$$eval('.lane', (lanes) => lanes.map((lane) => lane.dataset['look']));
    expect(looks).toEqual(['stuck', 'waits', 'stuck']);
    vcpu0.alive = true;
    ksmd.stuckSinceMs = null;
    await until('no alarm', () => page.$eval('.alarm', (alarm) => alarm.hidden));
  });

  it('maps the guest, and goes back in time', async () => {
    const frameOf = (): Promise<number> => page.$eval('.map', (map) => Number(map.dataset['frame'] ?? 0));
    const red = PAGE_STATES.indexOf('unmapped_pinned');
    await page.locator('.map').scrollIntoViewIfNeeded();
    await until('a frame', async () => (await frameOf()) > 0);
    const pixel = (): Promise<string> =>
      page.$eval('.map', (map) => [...(map.getContext('2d')?.getImageData(5, 2, 1, 1).data ?? [])].join());
    const before = await pixel();
    served.run.map[2 * 64 + 5] = red;
    await until('the page to change', async () => (await pixel()) !== before);
    const rows = await rowsOf(page, '#state-table');
    expect(rows.find(([state]) => state === 'unmapped at stage 2 though pinned')?.[1]).toBe('1');
    expect(rows.find(([state]) => state === 'mapped')?.[1]).toBe('4,095');
    await page.locator('input[aria-label=Time]').focus();
    await page.keyboard.press('Home');
    await until('the past', async () => (await pixel()) === before);
    await page.locator('#memory button', { hasText: 'live' }).click();
    await until('the present', async () => (await pixel()) !== before);
  });

  it('tells a page that is clicked, or chosen by keys', async () => {
    const box = await page.locator('.map').boundingBox();
    if (box === null) throw new Error('a map');
    await page.mouse.click(box.x + (5.5 / 64) * box.width, box.y + (2.5 / 64) * box.height);
    await says('.page-view h3', 'gfn 0x85 of vm0');
    await says('[data-fact=refcount]', '1,026');
    await says('[data-fact=frame]', 'pfn 0x85');
    await says('.history li', /77dmapin_user_pages\(0x12\)/);
    await page.locator('.map').focus();
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await says('.page-view h3', 'gfn 0xc6 of vm0');
  });

  it('shows the map of the moment at which a page is told, and goes on with both', async () => {
    const shownAt = async (): Promise<[string, string]> => [
      (await text(page, '#memory .time')).replace(/^live /, ''),
      await text(page, '[data-fact="as of"]'),
    ];
    const red = PAGE_STATES.indexOf('unmapped_pinned');
    // the map stands in the past; the page that is chosen is told as it is now, and the map goes there
    await page.locator('input[aria-label=Time]').focus();
    await page.keyboard.press('Home');
    served.run.elapsedSeconds += 30;
    served.run.map[0xc7] = red;
    await page.locator('.map').focus();
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('Enter');
    await says('.page-view h3', 'gfn 0xc7 of vm0');
    await until('both to be of one moment', async () => {
      const [map, card] = await shownAt();
      return map === card && card !== '';
    });
    await until('the map to show it', async () =>
      (await rowsOf(page, '#state-table')).some(([state, pages]) => state?.startsWith('unmapped at') && pages === '2'),
    );
    served.run.elapsedSeconds += 30;
    const [before] = await shownAt();
    await until('time to go on', async () => {
      const [map, card] = await shownAt();
      return map !== before && map === card;
    });
  });

  it('shows races newest first, by mechanism, violations above all', async () => {
    const shown = (): Promise<string[]> =>
      page.$$eval('.race-list li', (items) =>
        items.filter((item) => !item.hidden).map((item) => item.querySelector('.badge')?.textContent ?? ''),
      );
    served.run.miss('numa_scan');
    served.run.miss('ksm', 'back_out');
    served.run.violate(
      'I-STALE',
      '  cpu0 (vcpu0)   ksmd\n  ----           ----\n  read           write_protect_page()\n',
    );
    served.run.second(1);
    await until('three races', async () => (await shown()).length === 3);
    expect(await shown()).toEqual(['I-STALE', 'backed out #2', 'pinned page unmapped']);
    expect(await text(page, '.race-list li pre')).toContain('write_protect_page()');
    await says('#figure-violations', '1');
    await says('.ticker li', /I-STALE: something broke/);
    await page.selectOption('#race-mechanism', 'ksm');
    expect(await shown()).toEqual(['I-STALE', 'backed out #2']);
    await page.uncheck('input[data-kind=violation]');
    expect(await shown()).toEqual(['backed out #2']);
    await page.selectOption('#race-mechanism', '');
    await page.check('input[data-kind=violation]');
    // who opens a diagram reads it: what comes then waits
    await page.locator('.race-list li').nth(2).locator('summary').click();
    served.run.miss('zap');
    await until('one that waits', () => page.$eval('.newer', (button) => button.textContent === '1 newer'));
    expect((await shown()).length).toBe(3);
    await page.click('.newer');
    expect(await shown()).toEqual(['pinned page unmapped #3', 'I-STALE', 'backed out #2', 'pinned page unmapped']);
  });

  it('has knobs that act', async () => {
    await page.click('#knobs-go');
    await does('pause');
    await says('#status', 'paused');
    await page.selectOption('select[aria-label="Actor to step"] >> nth=0', 'dma');
    await page.click('#knobs-step');
    await does('step dma');
    await says('.step-log', /dma: acquire PTL of table 3 {2}in zapPteRange\s+zap\(0x1\)\nnext: read refs of pfn 0x12/);
    await says('#status', 'stepping');
    await page.click('#knobs-go');
    await does('resume');
    expect(served.run.done).toContain('stepMode false');
    await page.fill('input[data-knob="ksmd.pages_to_scan"]', '250');
    await page.keyboard.press('Tab');
    await does('ksmd.pages_to_scan=250');
    await page.click('[aria-label="ksmd.pages_to_scan ×2"]');
    await does('ksmd.pages_to_scan=500');
    await page.click('text=audit');
    await does('audit');
    await page.fill('#workers', '3');
    await page.selectOption('#scheme', 'apart');
    await page.click('#apply-workers');
    await does('workers 3 apart');
    await says('#note', /3 workers: vcpu0, dma, ksmd moved in 3 ms; the audit found nothing lost/);
    await page.selectOption('select[data-actor=ksmd]', '0');
    await does('move ksmd 0');
    await says('#what-runs', /2 workers/);
  });

  it('works with keys', async () => {
    const done = served.run.done;
    await page.locator('#now').focus();
    await page.keyboard.press('Space');
    await until('a pause', () => done.filter((what) => what === 'pause').length === 2);
    await page.keyboard.press('.');
    await until('a step', () => done.filter((what) => what.startsWith('step ')).length === 2);
    await says('#status', 'stepping');
    await page.keyboard.press('Space');
    await says('#status', 'running');
    await page.keyboard.press('4');
    expect(await page.evaluate('document.activeElement?.id')).toBe('races');
    await page.keyboard.press('?');
    expect(await page.$eval('#help', (dialog) => dialog.open)).toBe(true);
    await page.keyboard.press('Escape');
  });

  it('restarts with another policy, scenario and seed, says so, and begins anew', async () => {
    expect(await text(page, '#restart-note')).toMatch(/fixed for a run\. A restart ends this run/);
    await page.selectOption('#scenario', 'pin-race');
    await page.selectOption('#policy', 'classic');
    await page.fill('#seed', '99');
    await page.click('#restart');
    await says('#what-runs', /pin-race\s+classic\s+seed 99/);
    // nothing of the run before: figures, tables, races, the map, until this run has some
    await says('#figure-accesses', '-');
    for (const table of ['#mechanism-table', '#latency-table', '#ops-table', '#events-table'])
      expect(await rowsOf(page, table)).toEqual([]);
    expect(await text(page, '#who-unmaps')).toBe('');
    expect(await page.$$eval('.race-list li, .ticker li', (items) => items.length)).toBe(0);
    expect(await text(page, '.page-view h3')).toBe('Page');
    expect(served.runs[0]?.done.at(-1)).toBe('stop');
    expect(served.runs.length).toBe(2);
    served.run.second(10);
    served.run.second(70);
    await says('#figure-accesses', '70');
    expect(await text(page, '#now-what')).toMatch(/0:02 of run 2/);
  });

  it('goes on after its connection was cut; what cannot be had any more is told', async () => {
    const proxy = new Proxy(served.page.port);
    const other = await open(browser, await proxy.listen());
    const last = (): Promise<number> => other.page.evaluate<number>('pinfall.stream.last');
    const banner = (): Promise<string> =>
      other.page.$eval('#banner', (each) => (each.hidden ? '' : (each.textContent ?? '')));
    served.run.second(1);
    await until('all', async () => (await last()) === served.page.counters.published);
    proxy.cut();
    await other.page.waitForSelector('#connection[data-state=lost]');
    for (let n = 0; n < 3; n++) served.run.second(100);
    proxy.mend();
    await until('what was missed', async () => (await last()) === served.page.counters.published);
    expect(await banner()).toBe('');
    proxy.cut();
    await other.page.waitForSelector('#connection[data-state=lost]');
    for (let n = 0; n < 300; n++) served.run.second(100);
    proxy.mend();
    await until('a word about the gap', async () => /^\d+ messages did not reach this page/.test(await banner()));
    await until('the newest', async () => (await last()) === served.page.counters.published);
    proxy.close();
    await other.page.context().close();
  });

  it('does not grow', async () => {
    const session = await page.context().newCDPSession(page);
    const newest = (): Promise<boolean> =>
      page.evaluate<number>('pinfall.stream.last').then((last) => last >= served.page.counters.published - 2);
    const heapAfter = async (seconds: number): Promise<number> => {
      for (let n = 0; n < seconds; n++) {
        served.run.second(1000 + n, n);
        if (n % 2 === 0) served.run.miss('numa_scan');
        if (n % 50 === 49) await until('the page', newest);
      }
      // what a busy machine has not drawn, compiled or finalised yet is garbage at a later look
      let least = Infinity;
      for (let look = 0; look < 6; look++) {
        await session.send('HeapProfiler.collectGarbage');
        const { usedSize } = await session.send('Runtime.getHeapUsage');
        least = Math.min(least, usedSize);
        await page.evaluate('new Promise((done) => requestAnimationFrame(() => setTimeout(done, 100)))');
      }
      return least;
    };
    // five minutes fill all that is kept
    await heapAfter(400);
    const full = await heapAfter(50);
    const later = await heapAfter(600);
    expect(later / full).toBeLessThan(1.05);
    expect(await page.$$eval('.race-list li', (items) => items.length)).toBeLessThanOrEqual(101);
    expect(await page.$$eval('*', (elements) => elements.length)).toBeLessThan(4000);
  });

  it('serves ten clients at once', async () => {
    // two browser profiles, since one has six connections to a server at most: a page and four more streams each
    const viewport = { width: 400, height: 200 };
    const others = await Promise.all([1, 2].map(() => open(browser, `${served.base}/`, { viewport })));
    const listen = `globalThis.heard = [0, 0, 0, 0];
      heard.forEach((_, index) => new EventSource('api/events').addEventListener('metrics', (event) => {
        heard[index] = JSON.parse(event.data).ops[0];
      }));`;
    for (const other of others) await other.page.evaluate(listen);
    await until('ten clients and the first page', () => served.page.counters.clients === 11);
    served.run.second(123_456);
    const { accesses } = served.run.ops;
    for (const other of others) {
      await until('the figure', async () => (await text(other.page, '#figure-accesses')) === '123,456');
      await until(
        'the streams',
        async () => (await other.page.evaluate<string>('heard.join()')) === Array(4).fill(accesses).join(),
      );
      expect(other.complaints).toEqual([]);
    }
    await Promise.all(others.map((other) => other.page.context().close()));
  });

  it('fits a phone, and comes in light and dark', async () => {
    const phone = await open(browser, `${served.base}/`, {
      viewport: { width: 390, height: 844 },
      colorScheme: 'dark',
    });
    expect(await phone.page.evaluate('document.documentElement.scrollWidth')).toBe(390);
    const dark = await background(phone.page);
    expect(dark).not.toBe(await background(page));
    await phone.page.click('#theme');
    expect(await background(phone.page)).toBe(await background(page));
    await phone.page.click('#theme');
    expect(await background(phone.page)).toBe(dark);
    expect(phone.complaints).toEqual([]);
    await phone.page.context().close();
  });

  it('says what each number counts', async () => {
    const named = await page.$$eval('#legend dt', (items) => items.map((item) => item.textContent));
    const counters = (await rowsOf(page, '#ops-table')).map(([name]) => name);
    const others = (await rowsOf(page, '#latency-table')).map(([name]) => name);
    expect(counters.length).toBeGreaterThan(20);
    for (const name of [...counters, ...others, ...MECHANISMS, 'dropped', 'pinned page unmapped'])
      expect(named).toContain(name);
    const said = await page.$$eval('#legend dd', (items) => items.map((item) => item.textContent));
    expect(said.every((each) => each !== '')).toBe(true);
  });

  it('says that a finite scenario is done', async () => {
    served.run.over();
    await says('#status', 'done');
    await says('#over', /This scenario is done\. run \d+ is done: all actors had ended, after \d/);
    expect(await page.locator('#trouble').isVisible()).toBe(false);
    await page.click('#bar-go');
    await says('#status', 'running');
    expect(await page.locator('#over').isVisible()).toBe(false);
  });

  it('says what a run that ends badly died of', async () => {
    served.run.die();
    await says('#status', 'worker-died');
    await says('#trouble', /worker-died\. worker 1 died: Error: out of luck; dma holds mm0 mmap_lock/);
    await page.click('#bar-go');
    await says('#status', 'running');
    expect(await page.locator('#trouble').isVisible()).toBe(false);
  });

  it('stops and starts, and the browser had nothing to complain of', async () => {
    await page.click('#bar-stop');
    await says('#status', 'ended');
    await page.click('#bar-go');
    await says('#status', 'running');
    expect(served.runs.length).toBe(5);
    expect(complaints).toEqual([]);
  });
});
