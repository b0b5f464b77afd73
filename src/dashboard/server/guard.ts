/**
 * Who may talk to the server. It stands on loopback, and a browser on the same machine is no guard: any site that its user
 * visits can send requests there. So
 *   - Host must name this machine: a foreign name that resolves to 127.0.0.1 (DNS rebinding) is refused;
 *   - a request that says where it comes from (Origin, Sec-Fetch-Site) must come from our own page;
 *   - beyond loopback, every request needs the token: a cookie that `/?token=...` gives, or `Authorization: Bearer`.
 * Ports are not compared, so that `ssh -L` works: Origin must agree with the Host that the browser used.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { hostname } from 'node:os';
import { parse } from 'cookie';

interface GuardOptions {
  /** The address that the server is bound to. */
  readonly host: string;
  readonly port: number;
  /** Null: none is asked for (loopback only). */
  readonly token: string | null;
}

/** Why a request is refused. */
interface Refusal {
  readonly status: 401 | 403 | 421;
  readonly reason: string;
}

const LOOPBACK = new Set(['localhost', '127.0.0.1', '::1']);
const ANY_ADDRESS = new Set(['0.0.0.0', '::']);

/** Whether an address can be reached from this machine only. */
export const isLoopback = (host: string): boolean => LOOPBACK.has(host) || /^127(\.\d{1,3}){3}$/.test(host);

/** `host` or `host:port` or `[v6]:port` taken apart; null when it is none of these. */
function parseAuthority(text: string): { host: string; port: string } | null {
  const match = /^(?:\[([0-9a-fA-F:.]{2,45})\]|([A-Za-z0-9._-]{1,253}))(?::(\d{1,5}))?$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  return host === undefined ? null : { host: host.toLowerCase().replace(/\.$/, ''), port: match?.[3] ?? '80' };
}

/** A token may stand in an address and in a cookie as it is. */
export const TOKEN_SHAPE = /^[A-Za-z0-9._~-]{16,128}$/;

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

export class Guard {
  readonly #options: GuardOptions;
  readonly #token: Buffer | null;

  constructor(options: GuardOptions) {
    this.#options = options;
    this.#token = options.token === null ? null : digest(options.token);
  }

  /** Cookies know no ports: several dashboards of one machine need names of their own. */
  get cookieName(): string {
    return `pinfall_${this.#options.port}`;
  }

  /** What is wrong with where the request comes from and goes to; undefined when nothing is. */
  refuse(request: IncomingMessage): Refusal | undefined {
    const { headers } = request;
    const authority = parseAuthority(headers.host ?? '');
    if (authority === null || !this.#isOurName(authority.host)) {
      return { status: 421, reason: `Host names another machine than this one: ${shown(headers.host)}` };
    }
    const { origin } = headers;
    if (origin !== undefined && !sameOrigin(origin, authority)) {
      return { status: 403, reason: `requests from ${shown(origin)} are refused` };
    }
    const site = headers['sec-fetch-site'];
    const navigates = headers['sec-fetch-mode'] === 'navigate' && request.method === 'GET';
    if (site !== undefined && site !== 'same-origin' && site !== 'none' && !navigates) {
      return { status: 403, reason: 'requests from other sites are refused' };
    }
    return undefined;
  }

  /** Whether a token is the right one; compared in constant time. */
  accepts(token: string | undefined): boolean {
    return this.#token === null || (token !== undefined && timingSafeEqual(digest(token), this.#token));
  }

  /** Whether the request carries the token, as a cookie or as a bearer. */
  authorised(request: IncomingMessage): boolean {
    if (this.#token === null) return true;
    const bearer = /^Bearer ([!-~]{1,200})$/.exec(request.headers.authorization ?? '')?.[1];
    if (bearer !== undefined) return this.accepts(bearer);
    return this.accepts(parse(request.headers.cookie ?? '')[this.cookieName]);
  }

  #isOurName(host: string): boolean {
    const own = this.#options.host.toLowerCase();
    if (isLoopback(host) || host === own) return true;
    // no name can be made to resolve to an address that the browser has written down itself
    if (ANY_ADDRESS.has(own)) return isIP(host) !== 0 || host === hostname().toLowerCase();
    return false;
  }
}

function sameOrigin(origin: string, authority: { host: string; port: string }): boolean {
  const match = /^http:\/\/(.+)$/.exec(origin);
  const from = match === null ? null : parseAuthority(match[1] as string);
  return from !== null && from.host === authority.host && from.port === authority.port;
}

/** A header as an answer may show it. */
const shown = (text: string | undefined): string => JSON.stringify((text ?? '').slice(0, 100));
