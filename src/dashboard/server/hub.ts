/**
 * Messages to pages over Server-Sent Events. Each message is serialised once, numbered, and kept for a while; a client is no
 * more than a place in that row, so one that reads slowly costs nothing but its socket's buffer, and one whose connection
 * broke goes on where it stopped. Where the row no longer reaches back far enough, the client is told what it has missed.
 *
 *     id: k3f9x0-1042          the server's life, and the number: a new server is no continuation of an old one
 *     event: metrics
 *     data: {...}
 */
import type { ServerResponse } from 'node:http';
import type { GapMessage, MessageName, TickMessage } from '../protocol.js';

export interface HubOptions {
  /** Messages, and bytes of them, that are kept for those who come back. */
  readonly keptMessages?: number;
  readonly keptBytes?: number;
  /** Bytes that may wait in a client's socket before it gets no more for now. */
  readonly clientBytes?: number;
  /** A client that takes nothing for so long is given up, milliseconds. */
  readonly stallMs?: number;
  readonly clientsMax?: number;
}

const DEFAULTS = {
  keptMessages: 4000,
  keptBytes: 4 << 20,
  clientBytes: 256 << 10,
  stallMs: 60_000,
  clientsMax: 64,
} as const satisfies HubOptions;

interface Client {
  readonly response: ServerResponse;
  /** The next message it gets. */
  next: number;
  /** When its socket was last not full. */
  tookAt: number;
  closed: boolean;
  /**
   * Goes on with what it has not got. Called when a message has left for the system, not at the socket's 'drain': that comes only
   * after the socket's own mark (16 KiB under Node 20, 64 KiB under 22 and later) was passed, which `clientBytes` may lie below.
   */
  readonly flushed: () => void;
}

/** What became of the messages, for `/metrics` and tests. */
export interface HubCounters {
  readonly clients: number;
  readonly published: number;
  /** Messages that clients were told they had missed. */
  readonly missed: number;
  readonly keptBytes: number;
}

export class Hub {
  readonly #options: Required<HubOptions>;
  readonly #life = Math.random().toString(36).slice(2, 10);
  readonly #clients = new Set<Client>();
  /** Serialised messages `#first` to `#next - 1`; the first `#skip` of the array are dropped already. */
  #kept: Buffer[] = [];
  #skip = 0;
  #first = 1;
  #next = 1;
  #bytes = 0;
  #missed = 0;

  constructor(options: HubOptions = {}) {
    this.#options = { ...DEFAULTS, ...options };
  }

  get counters(): HubCounters {
    return { clients: this.#clients.size, published: this.#next - 1, missed: this.#missed, keptBytes: this.#bytes };
  }

  get full(): boolean {
    return this.#clients.size >= this.#options.clientsMax;
  }

  /** Sends a message to everybody, and keeps it. */
  publish(event: MessageName, data: unknown): void {
    const text = `id: ${this.#life}-${this.#next}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
    const message = Buffer.from(text);
    this.#kept.push(message);
    this.#next++;
    this.#bytes += message.length;
    while (this.#bytes > this.#options.keptBytes || this.#next - this.#first > this.#options.keptMessages) {
      this.#bytes -= (this.#kept[this.#skip] as Buffer).length;
      this.#skip++;
      this.#first++;
    }
    if (this.#skip > 1000 || this.#skip === this.#kept.length) {
      this.#kept = this.#kept.slice(this.#skip);
      this.#skip = 0;
    }
    for (const client of this.#clients) this.#pump(client);
  }

  /**
   * Sends what only counts now (what actors do, a sign of life) to those who have room for it. It has no number and is not
   * kept; a client that has fallen behind gets the next one.
   */
  publishVolatile(event: MessageName, data: unknown): void {
    if (this.#clients.size === 0) return;
    const message = Buffer.from(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
    for (const client of this.#clients) {
      if (client.next === this.#next && client.response.writableLength === 0) client.response.write(message);
    }
  }

  /** Tells everybody the newest number, so that a page sees what it has not got; gives up those who take nothing. */
  tick(): void {
    const now = performance.now();
    for (const client of this.#clients) {
      if (client.response.writableLength === 0) client.tookAt = now;
      else if (now - client.tookAt > this.#options.stallMs) this.#remove(client, true);
    }
    const tick: TickMessage = { newest: this.#next - 1, life: this.#life, at: Date.now() };
    this.publishVolatile('tick', tick);
  }

  /**
   * Takes a client in: what it has missed since `lastId`, or all that is kept when it is new, and then whatever comes.
   * @param lastId the Last-Event-ID it sent; undefined for a new page
   * @param hello sent first, with no number
   */
  connect(response: ServerResponse, lastId: string | undefined, hello: unknown): void {
    response.writeHead(200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
      connection: 'keep-alive',
    });
    const resume = this.#resumeAt(lastId);
    const client: Client = {
      response,
      next: resume ?? this.#first,
      tookAt: performance.now(),
      closed: false,
      flushed: () => this.#pump(client),
    };
    const leave = (): void => this.#remove(client, false);
    response.on('close', leave);
    response.on('error', leave);
    response.write(`retry: 1000\nevent: hello\ndata: ${JSON.stringify(hello)}\n\n`);
    // an id of another server's life, or of the future: nobody knows what lies between
    if (lastId !== undefined && resume === undefined) this.#tellGap(client, -1);
    this.#clients.add(client);
    this.#pump(client);
  }

  /** Ends all connections. */
  close(): void {
    for (const client of this.#clients) this.#remove(client, false, true);
  }

  /** The message after `lastId`; undefined when the id is none of this server's. */
  #resumeAt(lastId: string | undefined): number | undefined {
    const match = /^([a-z0-9]{1,16})-(\d{1,15})$/.exec(lastId ?? '');
    const last = Number(match?.[2]);
    return match !== null && match[1] === this.#life && last < this.#next ? last + 1 : undefined;
  }

  /** Writes what the client has not got, as far as its socket takes it. */
  #pump(client: Client): void {
    const { response } = client;
    while (!client.closed && client.next < this.#next && response.writableLength < this.#options.clientBytes) {
      if (client.next < this.#first) {
        this.#tellGap(client, this.#first - client.next);
        client.next = this.#first;
      }
      response.write(this.#kept[this.#skip + client.next - this.#first] as Buffer, client.flushed);
      client.next++;
    }
    if (client.next === this.#next) client.tookAt = performance.now();
  }

  /** @param missed how many messages; -1 = unknown */
  #tellGap(client: Client, missed: number): void {
    if (missed > 0) this.#missed += missed;
    const gap: GapMessage = { missed };
    client.response.write(`event: gap\ndata: ${JSON.stringify(gap)}\n\n`);
  }

  #remove(client: Client, destroy: boolean, end = false): void {
    if (client.closed) return;
    client.closed = true;
    this.#clients.delete(client);
    if (destroy) client.response.destroy();
    else if (end) client.response.end();
  }
}
