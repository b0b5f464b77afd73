/** The dashboard's server: who is let in, what is answered, and a stream in which nothing goes missing unnoticed. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { formatSchedule, parseSchedule } from '#src/engine/one-thread/schedule-file.js';
import { InputError } from '#src/errors/errors.js';
import { Dashboard, type DashboardOptions } from '#src/dashboard/dashboard.js';
import { Guard } from '#src/dashboard/server/guard.js';
import { type Served, StreamClient, serveFake, until } from './serve.js';

let served: Served;
beforeAll(async () => {
  served = await serveFake({ hub: { keptMessages: 200, clientBytes: 16_384 } });
});
afterAll(async () => {
  await served.page.close();
});

/** One request as it stands, since `fetch` forbids some headers. Resolves with status, headers and body. */
function raw(
  text: string,
  port = served.page.port,
  halfClose = false,
): Promise<{ status: number; head: string; body: string }> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => (halfClose ? socket.end(text) : socket.write(text)));
    let all = '';
    socket.on('data', (chunk: Buffer) => {
      all += chunk.toString();
      // a stream has no end of its own
      if (all.includes('text/event-stream')) socket.destroy();
    });
    socket.on('error', (error: NodeJS.ErrnoException) =>
      error.code === 'ECONNRESET' || error.code === 'EPIPE' ? undefined : reject(error),
    );
    socket.on('close', () => {
      const [head = '', body = ''] = all.split('\r\n\r\n', 2);
      resolve({ status: Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1] ?? 0), head, body });
    });
  });
}

const get = (path: string, headers = '', host = '127.0.0.1'): ReturnType<typeof raw> =>
  raw(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${headers}Connection: close\r\n\r\n`);

const post = (body: string, headers = 'Content-Type: application/json\r\n'): ReturnType<typeof raw> =>
  raw(
    `POST /api/command HTTP/1.1\r\nHost: localhost\r\n${headers}Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );

describe('requests', () => {
  it('serve the page with a strict policy and nothing from outside', async () => {
    const { status, head, body } = await get('/');
    expect(status).toBe(200);
    expect(head).toMatch(/content-security-policy: default-src 'none';script-src 'self';style-src 'self'/i);
    expect(head).not.toMatch(/unsafe/);
    expect(head).toMatch(/x-frame-options: deny/i);
    const references = [...body.matchAll(/(?:src|href)="([^"]+)"/g)].map((match) => match[1] as string);
    expect(references.filter((path) => !/^(\.\/assets\/|#)/.test(path))).toEqual([]);
    for (const path of references.filter((each) => each.startsWith('./'))) {
      const asset = await get(path.slice(1));
      expect([path, asset.status]).toEqual([path, 200]);
      expect(asset.body).not.toMatch(/https?:\/\/(?!www\.w3\.org)/);
    }
  });

  it('for unknown paths are 404, with a reason', async () => {
    for (const path of [
      '/nope',
      '/api',
      '/api/command',
      '/assets/',
      '/../package.json',
      '/%2e%2e/package.json',
      '/index.html/x',
      '/api/sweep',
    ]) {
      const { status, body } = await get(path);
      expect([path, status]).toEqual([path, 404]);
      expect(JSON.parse(body)).toMatchObject({ ok: false, message: expect.any(String) as string });
    }
  });

  it('that are malformed are 400, with a reason; too long ones 413', async () => {
    const bad: readonly (readonly [string, RegExp])[] = [
      ['', /./],
      ['{', /JSON/],
      ['[]', /./],
      ['{"type":"dance"}', /expected one of start, pause/],
      ['{"type":"knob","name":"quantum"}', /value: expected a number/],
      ['{"type":"knob","name":"quantum","value":1.5}', /value: expected a whole number/],
      ['{"type":"workers","count":65}', /count: expected at most 64/],
      ['{"type":"pause","extra":1}', /unknown key "extra"/],
      ['{"type":"step","actor":"nobody"}', /actor: expected one of vcpu0, dma, ksmd/],
      ['{"type":"restart","scenario":"/etc/passwd"}', /scenario: expected one of/],
      ['{"type":"knob","name":"ksmd.pages_to_scan","value":0}', /expected 1 to 10000, got 0/],
      ['{"__proto__":{"type":"pause"}}', /./],
    ];
    for (const [body, reason] of bad) {
      const answer = await post(body);
      expect([body, answer.status]).toEqual([body, 400]);
      expect((JSON.parse(answer.body) as { message: string }).message).toMatch(reason);
    }
    expect((await post('{"type":"pause"}', 'Content-Type: text/plain\r\n')).status).toBe(400);
    expect((await post(`{"type":"${'x'.repeat(5000)}"}`)).status).toBe(413);
    expect((await get('/api/memory/x/1')).status).toBe(400);
    expect((await get('/api/memory/0/999999')).status).toBe(204);
    expect((await get('/api/page/0/4096')).status).toBe(404);
    expect((await get('/api/schedules/..%2f..%2fpackage.json')).status).toBe(404);
  });

  it('that make no sense now are 409', async () => {
    expect(await post('{"type":"resume"}')).toMatchObject({ status: 409 });
    expect(await post('{"type":"start"}')).toMatchObject({ status: 409 });
  });

  it('to another name than ours, or from another site, are refused', async () => {
    expect((await get('/', '', 'evil.example')).status).toBe(421);
    expect((await get('/api/events', '', 'evil.example:80')).status).toBe(421);
    expect((await get('/', '', '127.0.0.1.evil.example')).status).toBe(421);
    expect((await get('/', '', 'LOCALHOST:1234')).status).toBe(200);
    expect((await get('/', '', '[::1]:7')).status).toBe(200);
    expect((await get('/api/report', 'Origin: http://evil.example\r\n')).status).toBe(403);
    expect((await get('/api/report', 'Origin: null\r\n')).status).toBe(403);
    expect((await get('/api/report', 'Sec-Fetch-Site: cross-site\r\n')).status).toBe(403);
    expect((await get('/', 'Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n')).status).toBe(200);
    const json = 'Content-Type: application/json\r\n';
    expect((await post('{"type":"pause"}', `${json}Origin: http://127.0.0.1\r\n`)).status).toBe(403);
    expect((await post('{"type":"pause"}', `${json}Sec-Fetch-Site: same-site\r\n`)).status).toBe(403);
    expect(served.run.done).toEqual([]);
    expect((await post('{"type":"audit"}', `${json}Origin: http://localhost\r\n`)).status).toBe(200);
    expect(served.run.done).toEqual(['audit']);
  });

  it('of any kind never bring it down', async () => {
    const header = fc.tuple(
      fc.constantFrom('Origin', 'Cookie', 'Authorization', 'Last-Event-ID', 'Sec-Fetch-Site', 'X'),
      fc.string({ maxLength: 60 }),
    );
    const path = fc.oneof(
      fc.webPath(),
      fc
        .constantFrom('/', '/api/events', '/api/command', '/metrics')
        .chain((start) => fc.string({ maxLength: 30 }).map((rest) => start + encodeURI(rest.toWellFormed()))),
      fc
        .tuple(fc.constantFrom('memory', 'page', 'schedules'), fc.string(), fc.string())
        .map(
          ([what, a, b]) =>
            `/api/${what}/${encodeURIComponent(a.toWellFormed())}/${encodeURIComponent(b.toWellFormed())}`,
        ),
    );
    const body = fc.oneof(
      fc.json(),
      fc.string(),
      fc
        .record({
          type: fc.constantFrom('knob', 'step', 'workers', 'move', 'restart'),
          name: fc.anything(),
          value: fc.anything(),
          count: fc.anything(),
          actor: fc.anything(),
        })
        .map((value) => JSON.stringify(value) ?? ''),
    );
    const request = fc.tuple(
      fc.constantFrom('GET', 'POST', 'PUT', 'DELETE', 'OPTIONS'),
      path,
      fc.array(header, { maxLength: 3 }),
      body,
    );
    await fc.assert(
      fc.asyncProperty(request, async ([method, target, headers, content]) => {
        const lines = headers.map(([name, value]) => `${name}: ${value.replace(/[^ -~]/g, '?')}\r\n`).join('');
        const { status, head } = await raw(
          `${method} ${target.replace(/[^!-~]/g, '') || '/'} HTTP/1.1\r\nHost: localhost\r\n${lines}Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(content)}\r\nConnection: close\r\n\r\n${content}`,
        );
        expect(status).toBeGreaterThanOrEqual(200);
        expect(status, `${method} ${target}`).toBeLessThan(500);
        expect(head).toMatch(/content-security-policy/i);
      }),
      { numRuns: 300 },
    );
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
        const { status } = await raw(Buffer.from(bytes).toString('latin1'), served.page.port, true);
        expect(status === 0 || (status >= 400 && status < 500)).toBe(true);
      }),
      { numRuns: 60 },
    );
    expect((await get('/metrics')).status).toBe(200);
  });
});

/** Sends a byte of a body now and then; resolves when the server ends the connection, with what it had said. */
function drip(port: number, head: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    let said = '';
    socket.write(head);
    const timer = setInterval(() => socket.write('1'), 50);
    socket.on('data', (chunk: Buffer) => (said += chunk.toString()));
    socket.on('error', () => {});
    socket.on('close', () => {
      clearInterval(timer);
      resolve(said);
    });
  });
}

// each would go on for 50 s, or for ever
it.each([
  ['a command', 'POST /api/command HTTP/1.1', 'Content-Length: 1000\r\n\r\n'],
  ['a command in pieces', 'POST /api/command HTTP/1.1', 'Transfer-Encoding: chunked\r\n\r\n3e8\r\n'],
  ['a request that was answered before its body', 'POST /nowhere HTTP/1.1', 'Content-Length: 1000\r\n\r\n'],
  ['a GET with a body', 'GET /api/report HTTP/1.1', 'Content-Length: 1000\r\n\r\n'],
  ['headers', 'GET / HTTP/1.1', 'X-Slow: '],
])(
  'ends a connection whose request is not whole within the limit: %s',
  async (_what, line, rest) => {
    const slow = await serveFake({ requestMs: 300 });
    const head = `${line}\r\nHost: localhost\r\nContent-Type: application/json\r\n${rest}`;
    await drip(slow.page.port, head);
    await slow.page.close();
  },
  20_000,
);

const token = 'abcdefghijklmnop';
const refused = (host: string, own: string): number | undefined =>
  new Guard({ host: own, port: 1, token }).refuse({ headers: { host }, method: 'GET' } as never)?.status;

const serveOnly = (options: Partial<DashboardOptions>): Promise<Dashboard> =>
  Dashboard.start({ port: 0, choice: { scenario: 'x' }, start: () => Promise.reject(new Error('no')), ...options });

describe('a token', () => {
  it('is asked for everywhere when there is one, and leaves the address at once', async () => {
    const other = await serveFake({ token });
    const ask = (path: string, headers = ''): ReturnType<typeof raw> =>
      raw(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n${headers}Connection: close\r\n\r\n`, other.page.port);
    expect(other.page.url).toMatch(/\?token=abcdefghijklmnop$/);
    for (const path of ['/', '/metrics', '/api/events', '/nope', '/assets/x.js'])
      expect([path, (await ask(path)).status]).toEqual([path, 401]);
    expect((await ask('/?token=wrong')).status).toBe(401);
    const entered = await ask(`/?token=${token}`);
    expect(entered.status).toBe(303);
    expect(entered.head).toMatch(/location: \/\r\n/i);
    const cookie = /set-cookie: ([^;]+); Path=\/; HttpOnly; SameSite=Strict/i.exec(entered.head)?.[1] ?? '';
    expect((await ask('/', `Cookie: a=b; ${cookie}\r\n`)).status).toBe(200);
    expect((await ask('/metrics', `Authorization: Bearer ${token}\r\n`)).status).toBe(200);
    expect((await ask('/metrics', `Authorization: Bearer ${token}x\r\n`)).status).toBe(401);
    await other.page.close();
  });

  it('is made where the server is not on loopback', async () => {
    const other = await serveFake({ host: '0.0.0.0' });
    expect(other.page.exposed).toBe(true);
    expect(other.page.url).toMatch(/\?token=[\w-]{32}$/);
    await other.page.close();
    await expect(serveFake({ token: 'short' })).rejects.toThrow(InputError);
  });

  it('does not let names through that could be made to point here', () => {
    expect(refused('192.168.1.7:7007', '0.0.0.0')).toBeUndefined();
    expect(refused('evil.example', '0.0.0.0')).toBe(421);
    expect(refused('192.168.1.7', '192.168.1.7')).toBeUndefined();
    expect(refused('192.168.1.8', '192.168.1.7')).toBe(421);
    expect(refused('', '127.0.0.1')).toBe(421);
    expect(refused('a b', '127.0.0.1')).toBe(421);
  });

  it('is of no use where the server cannot be: what is wrong is said', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'pinfall-sweep-'));
    writeFileSync(join(folder, 'text.json'), 'not json');
    await expect(serveOnly({ port: served.page.port })).rejects.toThrow(/port is taken/);
    await expect(serveOnly({ host: '203.0.113.9' })).rejects.toThrow(/^--host 203\.0\.113\.9 --port 0: /);
    await expect(serveOnly({ sweep: join(folder, 'text.json') })).rejects.toThrow(
      /expected the JSON report of a tune run/,
    );
    await expect(serveOnly({ sweep: join(folder, 'none.json') })).rejects.toThrow(/no such file/);
    rmSync(folder, { recursive: true });
  });
});

/** The numbers of the messages that have one. */
const numbers = (client: StreamClient): number[] =>
  client.messages.filter(({ id }) => id !== '').map(({ id }) => Number(id.split('-')[1]));
const consecutive = (list: readonly number[]): boolean =>
  list.every((number, index) => index === 0 || number === (list[index - 1] as number) + 1);

describe('a violation', () => {
  it('links to a schedule that the explorer has left for its rule and policy', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'pinfall-schedules-'));
    const facts = { scenario: 'pin-race', seed: 1, variation: 0, strategy: 'pct', hash: '01234567', stepsMax: 10 };
    const schedule = (policy: string, end: string): string =>
      formatSchedule({ ...facts, policy, end, breaks: 'I-TEST', actors: ['a', 'b'], choices: Uint8Array.of(0, 1, 1) });
    writeFileSync(join(folder, 'other.schedule'), schedule('classic', 'violation I-TEST'));
    writeFileSync(join(folder, 'broken.schedule'), 'pinfall.schedule/1\n');
    writeFileSync(join(folder, 'mine.schedule'), schedule('pinned-notifiers', 'violation I-TEST'));
    const other = await serveFake({ schedules: folder });
    const client = new StreamClient(other.base);
    other.run.violate('I-TEST', '');
    other.run.violate('I-OTHER', '');
    await until('two races', () => client.of('race').length === 2);
    expect(client.of('race').map(({ data }) => data['schedule'])).toEqual(['/api/schedules/mine.schedule', '']);
    const answer = await fetch(`${other.base}/api/schedules/mine.schedule`);
    expect(parseSchedule(await answer.text()).actors).toEqual(['a', 'b']);
    expect((await fetch(`${other.base}/api/schedules/${encodeURIComponent('../mine.schedule')}`)).status).toBe(404);
    client.close();
    await other.page.close();
    rmSync(folder, { recursive: true });
  });
});

describe('the stream', () => {
  it('gives ten clients every message, in order, and a late one what is kept', async () => {
    const clients = Array.from({ length: 10 }, () => new StreamClient(served.base));
    await Promise.all(clients.map((client) => client.connected));
    for (let n = 0; n < 20; n++) served.run.second(1000);
    await until('all messages', () => clients.every((client) => client.of('metrics').length >= 20));
    const late = new StreamClient(served.base);
    await until('the kept ones', () => late.of('metrics').length >= 20);
    for (const client of [...clients, late]) {
      expect(client.messages[0]?.event).toBe('hello');
      expect(consecutive(numbers(client))).toBe(true);
      expect(client.of('gap')).toEqual([]);
    }
    expect(late.lastId).toBe(clients[0]?.lastId);
    for (const client of [...clients, late]) client.close();
    await until('all gone', () => served.page.counters.clients === 0);
  });

  it('goes on after a break with what was missed, and not twice', async () => {
    const first = new StreamClient(served.base);
    await until('a message', () => first.lastId !== '');
    first.close();
    for (let n = 0; n < 5; n++) served.run.second(1000);
    const second = new StreamClient(served.base, first.lastId);
    await until('the missed ones', () => second.of('metrics').length >= 5);
    expect(numbers(second)[0]).toBe((numbers(first).at(-1) as number) + 1);
    expect(second.of('gap')).toEqual([]);
    second.close();
  });

  it('says how much is lost when a client comes back too late, or from another server', async () => {
    const first = new StreamClient(served.base);
    await until('a message', () => first.lastId !== '');
    first.close();
    for (let n = 0; n < 250; n++) served.run.second(1);
    const second = new StreamClient(served.base, first.lastId);
    await until('a gap', () => second.of('gap').length === 1 && second.of('metrics').length > 100);
    const lost = (numbers(second)[0] as number) - (numbers(first).at(-1) as number) - 1;
    expect(second.of('gap')[0]?.data).toEqual({ missed: lost });
    expect(lost).toBeGreaterThan(20);
    const stranger = new StreamClient(served.base, 'otherlife-5');
    await until('a gap', () => stranger.of('gap').length === 1);
    expect(stranger.of('gap')[0]?.data).toEqual({ missed: -1 });
    second.close();
    stranger.close();
  });

  it('is not held up by a client that does not read; that one is told what it has lost', async () => {
    const stalled = new StreamClient(served.base);
    const reader = new StreamClient(served.base);
    await Promise.all([stalled.connected, reader.connected]);
    await until('both', () => served.page.counters.clients === 2);
    stalled.stall();
    const before = reader.of('race').length;
    const diagram = 'x'.repeat(20_000);
    for (let n = 0; n < 600; n++) {
      served.run.violate('I-TEST', diagram);
      if (n % 20 === 0) await until('the reader', () => reader.of('race').length === before + n + 1);
    }
    await until('the reader has all', () => reader.of('race').length === before + 600);
    expect(reader.of('gap')).toEqual([]);
    expect(consecutive(numbers(reader))).toBe(true);
    expect(served.page.counters.keptBytes).toBeLessThan(5 << 20);
    stalled.goOn();
    await until('the stalled one catches up', () => stalled.lastId === reader.lastId);
    const missed = stalled.of('gap').reduce((sum, { data }) => sum + Number(data['missed']), 0);
    const got = numbers(stalled);
    // what it was told to have missed is exactly what it did not get
    expect((got.at(-1) as number) - (got[0] as number) + 1).toBe(got.length + missed);
    expect(missed).toBeGreaterThan(0);
    stalled.close();
    reader.close();
  });
});
