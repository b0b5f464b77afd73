/**
 * The dashboard's HTTP server: the page, its stream, its commands, `/metrics`.
 *
 *     GET  /                        the page, and /assets/* of it
 *     GET  /api/events              Server-Sent Events (protocol.ts); Last-Event-ID or ?last= goes on after a break
 *     POST /api/command             a command; 400 malformed, 409 not now
 *     GET  /api/report              the report so far, or of the run that has ended
 *     GET  /api/memory/<vm>/<frame> a byte per page; frame `newest` or a number that the stream named
 *     GET  /api/page/<vm>/<gfn>     one page and its history; ?map=1: names a frame of the same moment
 *     GET  /api/schedules/<file>    a schedule that a violation links to
 *     GET  /api/sweep               a finished sweep of `tune`, when the server was given one
 *     GET  /metrics                 for Prometheus
 */
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { hostname } from 'node:os';
import { fileURLToPath } from 'node:url';
import express, { type Express, type NextFunction, type Request, type Response } from 'express';
import helmet from 'helmet';
import { readBounded } from '../../lab/input/bounded-file.js';
import { fileProblem } from '../../lab/input/file-problem.js';
import { InputError } from '../../errors/errors.js';
import type { HelloMessage } from '../protocol.js';
import { parseCommand } from './commands.js';
import { Guard, isLoopback } from './guard.js';
import type { Hub } from './hub.js';
import type { PrometheusMetrics } from './prometheus.js';
import type { Schedules } from './schedules.js';
import type { Session } from './session.js';

/** Where the build puts the page. */
const PAGE = fileURLToPath(new URL('../../../dashboard/', import.meta.url));
const BODY_BYTES = 4096;
const TICK_MS = 1000;
/** A request is whole, its body too, within this time, or its connection ends. */
const REQUEST_MS = 10_000;

interface ServerOptions {
  readonly host: string;
  /** 0 = any free one. */
  readonly port: number;
  readonly token: string | null;
  readonly session: Session;
  readonly hub: Hub;
  readonly prometheus: PrometheusMetrics;
  readonly schedules: Schedules;
  readonly hello: () => HelloMessage;
  /** The JSON text of a finished sweep, or null. */
  readonly sweep: string | null;
  /** Milliseconds in which a request has to be whole; default: 10 s. */
  readonly requestMs?: number | undefined;
}

export interface Serving {
  /** `http://127.0.0.1:7007/`, with the token where one is needed. */
  readonly url: string;
  readonly port: number;
  close(): Promise<void>;
}

/** Starts to serve. @throws InputError when the address cannot be had, or the page was not built */
export async function serve(options: ServerOptions): Promise<Serving> {
  if (!existsSync(`${PAGE}index.html`))
    throw new InputError(`the page is not built (no ${PAGE}index.html): npm run build`);
  const requestMs = options.requestMs ?? REQUEST_MS;
  // the guard needs the port, which is known only once the server listens; nobody is answered before
  let guard: Guard | null = null;
  const app = express().disable('etag').set('query parser', 'simple');
  protect(app, () => guard);
  routes(app, options);
  endings(app);
  const server = createServer(
    {
      requestTimeout: requestMs,
      // Node takes the larger of the two limits for bodies, and that of headers is a minute by itself
      headersTimeout: requestMs,
      // Node looks for late ones every 30 s by itself
      connectionsCheckingInterval: Math.ceil(requestMs / 10),
      keepAliveTimeout: 5000,
    },
    app,
  );
  try {
    await once(server.listen(options.port, options.host), 'listening');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    const why = code === 'EADDRINUSE' ? 'the port is taken; try --port 0' : fileProblem(error);
    throw new InputError(`--host ${options.host} --port ${options.port}: ${why}`);
  }
  const { port } = server.address() as AddressInfo;
  guard = new Guard({ host: options.host, port, token: options.token });
  const timer = setInterval(() => options.hub.tick(), TICK_MS);
  timer.unref();
  const name = addressName(options.host);
  return {
    url: `http://${name}:${port}/${options.token === null ? '' : `?token=${options.token}`}`,
    port,
    async close() {
      clearInterval(timer);
      options.hub.close();
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

/** The host as an address has it; a server on all addresses goes by its machine's name. */
function addressName(host: string): string {
  if (host === '0.0.0.0' || host === '::') return hostname();
  return host.includes(':') ? `[${host}]` : host;
}

/** Headers, and who is let in: in front of every route, of unknown paths too. */
function protect(app: Express, guard: () => Guard | null): void {
  app.use(
    helmet({
      contentSecurityPolicy: {
        useDefaults: false,
        directives: {
          defaultSrc: ["'none'"],
          scriptSrc: ["'self'"],
          styleSrc: ["'self'"],
          imgSrc: ["'self'"],
          connectSrc: ["'self'"],
          baseUri: ["'none'"],
          formAction: ["'none'"],
          frameAncestors: ["'none'"],
        },
      },
      // plain http: a promise of https would lock the page out
      strictTransportSecurity: false,
      crossOriginEmbedderPolicy: true,
      xFrameOptions: { action: 'deny' },
    }),
  );
  app.use((request, reply, next) => {
    const now = guard();
    if (now === null) return fail(reply, 503, 'starting');
    const refusal = now.refuse(request);
    if (refusal !== undefined) return fail(reply, refusal.status, refusal.reason);
    const { token } = request.query;
    if (request.method === 'GET' && request.url.startsWith('/?') && typeof token === 'string') {
      if (!now.accepts(token)) return fail(reply, 401, 'that is not the token');
      // out of the address, so that it is not shown, kept or sent on
      return fresh(reply).cookie(now.cookieName, token, { httpOnly: true, sameSite: 'strict' }).redirect(303, '/');
    }
    if (!now.authorised(request)) {
      reply.set('www-authenticate', 'Bearer realm="pinfall"');
      return fail(reply, 401, 'a token is needed: open the address that pinfall has printed');
    }
    // Express would answer for every route
    return request.method === 'OPTIONS' ? nothing(request, reply) : next();
  });
}

function routes(app: Express, options: ServerOptions): void {
  const { session, hub, prometheus, schedules } = options;
  app.use(
    express.static(PAGE, {
      dotfiles: 'ignore',
      redirect: false,
      cacheControl: false,
      setHeaders: (reply, path) => {
        // assets carry their content's hash in the name
        const kept = path.includes('/assets/');
        reply.setHeader('cache-control', kept ? 'public, max-age=31536000, immutable' : 'no-store');
      },
    }),
  );

  app.get('/api/events', (request, reply) => {
    if (hub.full) return fail(reply, 503, 'too many pages are connected');
    const { last } = request.query;
    const lastId = request.get('last-event-id') ?? (typeof last === 'string' ? last : undefined);
    // a stream has no end: no timeout of ordinary answers applies
    request.socket.setTimeout(0);
    return hub.connect(reply, lastId, options.hello());
  });

  const json = express.json({ limit: BODY_BYTES, strict: false, inflate: false });
  app.post('/api/command', json, async (request, reply) => {
    if (request.is('application/json') === false) return fail(reply, 400, NOT_JSON);
    const parsed = parseCommand(request.body);
    if ('problem' in parsed) return fail(reply, 400, parsed.problem);
    const { status, answer } = await session.command(parsed.command);
    return void fresh(reply).status(status).json(answer);
  });

  app.get('/api/report', (_request, reply) => {
    const report = session.report;
    return report === null ? fail(reply, 404, 'there has been no run') : void fresh(reply).json(report);
  });

  app.get('/api/memory/:vm/:frame', ({ params }, reply) => {
    const vm = wholeNumber(params.vm);
    const number = params.frame === 'newest' ? 'newest' : wholeNumber(params.frame);
    if (vm === null || number === null) return fail(reply, 400, 'expected /api/memory/<vm>/<frame>, two whole numbers');
    const frame = number === 'newest' ? session.newestFrame(vm) : session.frame(vm, number);
    // gone with its minute or its run: what a page meets all the time, and a browser would write a 404 into its console
    if (frame === undefined) return void fresh(reply).status(204).end();
    return void fresh(reply)
      .set({ 'content-type': 'application/octet-stream', 'x-pinfall-frame': String(frame.frame) })
      .send(Buffer.from(frame.bytes.buffer, frame.bytes.byteOffset, frame.bytes.byteLength));
  });

  app.get('/api/page/:vm/:gfn', ({ params, query }, reply) => {
    const vm = wholeNumber(params.vm);
    const gfn = wholeNumber(params.gfn);
    if (vm === null || gfn === null) return fail(reply, 400, 'expected /api/page/<vm>/<gfn>, two whole numbers');
    const page = session.page(vm, gfn, query['map'] === '1');
    return page === undefined ? fail(reply, 404, 'there is no such page') : void fresh(reply).json(page);
  });

  app.get('/api/schedules/:file', ({ params }, reply) => {
    const text = schedules.read(params.file);
    return text === undefined
      ? fail(reply, 404, 'there is no such schedule')
      : void fresh(reply).type('text').send(text);
  });

  app.get('/api/sweep', (_request, reply) => {
    if (options.sweep === null) return fail(reply, 404, 'no sweep was given: pinfall dashboard --sweep FILE');
    return void fresh(reply).type('json').send(options.sweep);
  });

  app.get('/metrics', async (_request, reply) => {
    const text = await prometheus.registry.metrics();
    fresh(reply).set('content-type', prometheus.registry.contentType).send(text);
  });
}

/** What no route has answered, or has failed to. */
function endings(app: Express): void {
  app.use(nothing);
  // Express knows it by its four parameters
  app.use(
    (
      error: { readonly status?: number; readonly message?: string },
      _: Request,
      reply: Response,
      next: NextFunction,
    ) => {
      if (reply.headersSent) return next(error);
      const status = error.status ?? 500;
      if (status === 415) return fail(reply, 400, NOT_JSON);
      if (status === 413) return fail(reply, 413, `expected at most ${BODY_BYTES} bytes`);
      return status >= 400 && status < 500
        ? fail(reply, status, error.message ?? '')
        : fail(reply, 500, 'internal failure');
    },
  );
}

const NOT_JSON = 'expected content-type application/json';

const nothing = (request: Request, reply: Response): void =>
  fail(reply, 404, `nothing is at ${request.method} ${pathOf(request)}`);

const fail = (reply: Response, status: number, message: string): void =>
  void fresh(reply).status(status).json({ ok: false, message });

const fresh = (reply: Response): Response => reply.set('cache-control', 'no-store');

/** The path without its query, as an answer may show it. */
const pathOf = (request: Request): string => JSON.stringify((request.originalUrl.split('?')[0] ?? '').slice(0, 100));

const wholeNumber = (text: string): number | null => (/^\d{1,9}$/.test(text) ? Number(text) : null);

const SWEEP_BYTES_MAX = 64 << 20;

/** Reads a finished sweep. @throws InputError */
export function readSweep(path: string): string {
  let text: string;
  try {
    text = readBounded(path, `--sweep ${path}`, SWEEP_BYTES_MAX, 'the JSON report of a tune run').toString('utf8');
  } catch (error) {
    throw error instanceof InputError ? error : new InputError(`--sweep ${path}: ${fileProblem(error)}`);
  }
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return text;
  } catch {
    // said below
  }
  throw new InputError(`--sweep ${path}: expected the JSON report of a tune run`);
}

export { isLoopback };
