/** A dashboard over fake runs, on a port of its own, and a small client of its stream. */
import { type IncomingMessage, request } from 'node:http';
import { Dashboard, type DashboardOptions } from '#src/dashboard/dashboard.js';
import { FakeRun } from './fake-run.js';

export interface Served {
  readonly page: Dashboard;
  /** `http://127.0.0.1:12345` */
  readonly base: string;
  /** All runs so far, the newest last. */
  readonly runs: FakeRun[];
  /** The run that is watched now. */
  readonly run: FakeRun;
}

export async function serveFake(options: Partial<DashboardOptions> = {}): Promise<Served> {
  const runs: FakeRun[] = [];
  const page = await Dashboard.start({
    port: 0,
    choice: { scenario: 'synthetic-guest' },
    start: async (choice) => {
      const run = new FakeRun(choice.scenario, choice.policy, choice.seed);
      runs.push(run);
      return run;
    },
    actorsMs: 50,
    memoryMs: 100,
    ...options,
  });
  await page.session.begin();
  return {
    page,
    base: `http://127.0.0.1:${page.port}`,
    runs,
    get run() {
      return runs.at(-1) as FakeRun;
    },
  };
}

export interface StreamMessage {
  readonly id: string;
  readonly event: string;
  readonly data: Record<string, unknown>;
}

/** A client of the stream that reads, or does not. */
export class StreamClient {
  readonly messages: StreamMessage[] = [];
  status = 0;
  bytes = 0;
  #response: IncomingMessage | null = null;
  #text = '';
  readonly #request;
  readonly connected: Promise<void>;

  constructor(base: string, lastId?: string, headers: Record<string, string> = {}) {
    let connected!: () => void;
    this.connected = new Promise((resolve) => (connected = resolve));
    this.#request = request(
      `${base}/api/events`,
      { headers: { ...headers, ...(lastId !== undefined && { 'last-event-id': lastId }) } },
      (response) => {
        this.#response = response;
        this.status = response.statusCode ?? 0;
        response.on('data', (chunk: Buffer) => this.#take(chunk));
        response.on('error', () => {});
        connected();
      },
    );
    this.#request.on('error', () => {});
    this.#request.end();
  }

  of(event: string): StreamMessage[] {
    return this.messages.filter((message) => message.event === event);
  }

  get lastId(): string {
    return this.messages.findLast(({ id }) => id !== '')?.id ?? '';
  }

  /** Stops reading: the socket fills up. */
  stall(): void {
    this.#response?.pause();
  }

  goOn(): void {
    this.#response?.resume();
  }

  close(): void {
    this.#request.destroy();
  }

  #take(chunk: Buffer): void {
    this.bytes += chunk.length;
    this.#text += chunk.toString();
    for (let end = this.#text.indexOf('\n\n'); end >= 0; end = this.#text.indexOf('\n\n')) {
      const lines = this.#text.slice(0, end).split('\n');
      this.#text = this.#text.slice(end + 2);
      const field = (name: string): string =>
        lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2) ?? '';
      this.messages.push({
        id: field('id'),
        event: field('event'),
        data: JSON.parse(field('data')) as Record<string, unknown>,
      });
    }
  }
}

/** Waits until something is so; fails with what it waited for. Only a hang takes that long: the machine may be busy. */
export async function until(what: string, holds: () => boolean | Promise<boolean>, ms = 100_000): Promise<void> {
  const deadline = performance.now() + ms;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
