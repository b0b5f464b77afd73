/** A real Prometheus scrapes `/metrics`, and answers a rate query with what the run did. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { PROMETHEUS, PROMTOOL, describeWith } from './programs.js';
import { type Served, serveFake, until } from './serve.js';

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

describeWith(PROMETHEUS, '/metrics', () => {
  let served: Served;
  let prometheus: ChildProcess;
  let folder: string;
  let api: string;
  let said = '';

  beforeAll(async () => {
    served = await serveFake({ token: 'prometheus-token-1' });
    folder = mkdtempSync(join(tmpdir(), 'pinfall-prometheus-'));
    const port = await freePort();
    api = `http://127.0.0.1:${port}/api/v1`;
    writeFileSync(
      join(folder, 'prometheus.yml'),
      [
        'global: { scrape_interval: 150ms, scrape_timeout: 150ms }',
        'scrape_configs:',
        '  - job_name: pinfall',
        '    authorization: { credentials: prometheus-token-1 }',
        `    static_configs: [{ targets: ['127.0.0.1:${served.page.port}'] }]`,
      ].join('\n'),
    );
    prometheus = spawn(PROMETHEUS, [
      `--config.file=${folder}/prometheus.yml`,
      `--storage.tsdb.path=${folder}/data`,
      `--web.listen-address=127.0.0.1:${port}`,
    ]);
    prometheus.stderr?.on('data', (chunk: Buffer) => (said += chunk.toString()));
  });
  afterAll(async () => {
    prometheus.kill('SIGKILL');
    await served.page.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const query = async (
    text: string,
  ): Promise<readonly { metric: Record<string, string>; value: [number, string] }[]> => {
    const response = await fetch(`${api}/query?query=${encodeURIComponent(text)}`);
    const { data } = (await response.json()) as {
      data: { result: readonly { metric: Record<string, string>; value: [number, string] }[] };
    };
    return data.result;
  };

  it('is scraped by Prometheus, and answers how often which mechanism unmaps pinned pages', async () => {
    await until('Prometheus', async () => {
      if (prometheus.exitCode !== null) throw new Error(`prometheus has ended: ${said.slice(-500)}`);
      return fetch(`${api}/query?query=up`).then(
        ({ ok }) => ok,
        () => false,
      );
    });
    // 40 pages a tenth of a second: 400/s
    const timer = setInterval(() => served.run.second(1000, 40), 100);
    const rate = 'rate(pinfall_stage2_unmaps_pinned_total{mechanism="numa_scan"}[1500ms])';
    let last = 0;
    await until(
      'a steady rate',
      async () => {
        last = Number((await query(rate))[0]?.value[1] ?? 0);
        return last > 250 && last < 550;
      },
      12_000,
    );
    clearInterval(timer);
    expect(await query('up{job="pinfall"}')).toMatchObject([{ value: [expect.any(Number), '1'] }]);
    expect(await query('pinfall_run_info')).toMatchObject([
      { metric: { scenario: 'synthetic-guest', policy: 'pinned-notifiers', seed: '7' } },
    ]);
    served.run.miss('ksm', 'back_out');
    served.run.violate('I-TEST', '');
    served.run.second(0);
    await until('a near-miss', async () => (await query('pinfall_near_misses_total'))[0]?.value[1] === '1');
    expect((await query('pinfall_violations_total'))[0]?.value[1]).toBe('1');
    expect((await query('pinfall_workers'))[0]?.value[1]).toBe('2');
    const targets = (await (await fetch(`${api}/targets`)).json()) as {
      data: { activeTargets: readonly { health: string; lastError: string }[] };
    };
    expect(targets.data.activeTargets[0]).toMatchObject({ health: 'up', lastError: '' });
  });

  it('is metrics that promtool finds no fault with, latencies as histograms among them', async () => {
    served.run.second(0);
    const response = await fetch(`http://127.0.0.1:${served.page.port}/metrics`, {
      headers: { authorization: 'Bearer prometheus-token-1' },
    });
    const text = await response.text();
    const checked = spawnSync(PROMTOOL, ['check', 'metrics'], { input: text, encoding: 'utf8' });
    expect([checked.status, checked.stdout, checked.stderr]).toEqual([0, '', '']);
    const buckets = [...text.matchAll(/^pinfall_latency_seconds_bucket\{operation="pin",le="([^"]+)"\} (\d+)$/gm)];
    const counts = buckets.map((bucket) => Number(bucket[2]));
    expect(buckets.at(-1)?.[1]).toBe('+Inf');
    expect(counts).toEqual(counts.toSorted((a, b) => a - b));
    expect(text).toContain(`pinfall_latency_seconds_count{operation="pin"} ${counts.at(-1)}\n`);
  });

  it('answers histogram_quantile(), and every query of the Grafana dashboard', async () => {
    const timer = setInterval(() => served.run.second(1000, 40), 100);
    const quantile = 'histogram_quantile(0.5, sum by (le) (rate(pinfall_latency_seconds_bucket[1500ms])))';
    await until(
      'a quantile',
      async () => {
        const value = Number((await query(quantile))[0]?.value[1]);
        // all are in the bucket that ends at 2 us
        return value > 1e-6 && value <= 2e-6;
      },
      12_000,
    );
    clearInterval(timer);
    const grafana = readFileSync(new URL('../../src/dashboard/grafana/pinfall.json', import.meta.url), 'utf8');
    const { panels } = JSON.parse(grafana) as { panels: readonly { targets: readonly { expr: string }[] }[] };
    for (const { expr } of panels.flatMap(({ targets }) => targets)) {
      const text = expr.replaceAll('$__rate_interval', '5s');
      const response = await fetch(`${api}/query?query=${encodeURIComponent(text)}`);
      expect({ expr, ...((await response.json()) as object) }).toMatchObject({ expr, status: 'success' });
    }
  });

  it('has totals that agree with the report, and go on over a restart and over a wrapped counter', async () => {
    const total = async (): Promise<number> => {
      const response = await fetch(`http://127.0.0.1:${served.page.port}/metrics`, {
        headers: { authorization: 'Bearer prometheus-token-1' },
      });
      const text = await response.text();
      return Number(/^pinfall_operations_total\{operation="accesses"\} (\S+)$/m.exec(text)?.[1]);
    };
    const before = await total();
    expect(before).toBe(served.run.reportSoFar().ops.accesses);
    // 32-bit words of the machine: two thirds of 2^32 and as much again
    const much = 2_863_311_530;
    served.run.second(much - served.run.ops.accesses);
    served.run.second(much);
    expect(await total()).toBe(2 * much);
    await served.page.session.command({ type: 'restart', seed: 9 });
    served.run.second(500);
    expect(await total()).toBe(2 * much + 500);
  });
});
