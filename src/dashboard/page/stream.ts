/**
 * The server's messages. The browser reconnects by itself and says what it had last; numbers of messages are checked here as
 * well, so that nothing can be missing unnoticed: a hole is reported as a gap, whoever made it.
 */
import type {
  ActorsMessage,
  GapMessage,
  HelloMessage,
  MemoryMessage,
  MetricsMessage,
  RaceMessage,
  ScheduleMessage,
  StateMessage,
  TickMessage,
} from '../protocol.js';

export type Connection = 'connecting' | 'live' | 'lost';

interface StreamHandlers {
  hello(message: HelloMessage): void;
  state(message: StateMessage): void;
  metrics(message: MetricsMessage): void;
  actors(message: ActorsMessage): void;
  memory(message: MemoryMessage): void;
  race(message: RaceMessage): void;
  schedule(message: ScheduleMessage): void;
  /** @param missed -1 = unknown */
  gap(missed: number): void;
  connection(state: Connection, sinceMs: number): void;
}

/** The server says something every second. */
const SILENCE_MS = 3500;
const RETRY_MS = 2000;

export class Stream {
  readonly #handlers: StreamHandlers;
  #source: EventSource | null = null;
  #life = '';
  #last = 0;
  #heardAt = performance.now();

  constructor(handlers: StreamHandlers) {
    this.#handlers = handlers;
    this.#connect();
    setInterval(() => this.#watch(), 1000);
  }

  /** The number of the newest message. */
  get last(): number {
    return this.#last;
  }

  #connect(): void {
    const { hello, state, metrics, actors, memory, race, schedule, gap } = this.#handlers;
    const last = this.#life === '' ? '' : `?last=${this.#life}-${this.#last}`;
    const source = new EventSource(`api/events${last}`);
    this.#source = source;
    this.#handlers.connection('connecting', 0);
    this.#on<HelloMessage>('hello', (message) => {
      this.#handlers.connection('live', 0);
      hello(message);
    });
    this.#on<StateMessage>('state', state);
    this.#on<MetricsMessage>('metrics', metrics);
    this.#on<ActorsMessage>('actors', actors);
    this.#on<MemoryMessage>('memory', memory);
    this.#on<RaceMessage>('race', race);
    this.#on<ScheduleMessage>('schedule', schedule);
    this.#on<GapMessage>('gap', ({ missed }) => {
      // the next number is not the one after the last
      this.#last = 0;
      if (missed < 0) this.#life = '';
      gap(missed);
    });
    this.#on<TickMessage>('tick', (tick) => {
      // a tick comes only to those who have got everything
      if (tick.life === this.#life && tick.newest > this.#last && this.#last > 0)
        this.#hole(tick.newest - this.#last, tick.newest);
    });
    source.addEventListener('error', () => {
      this.#handlers.connection('lost', performance.now() - this.#heardAt);
      // refused (too many pages, a token that is no longer good): the browser gives up, we do not
      if (source.readyState === EventSource.CLOSED) setTimeout(() => this.#again(source), RETRY_MS);
    });
  }

  #on<Message>(name: string, take: (message: Message) => void): void {
    const source = this.#source;
    source?.addEventListener(name, (event: MessageEvent<string>) => {
      if (source !== this.#source) return;
      this.#heardAt = performance.now();
      if (event.lastEventId !== '' && name !== 'hello' && name !== 'tick' && name !== 'actors' && name !== 'gap') {
        this.#number(event.lastEventId);
      }
      take(JSON.parse(event.data) as Message);
    });
  }

  #number(id: string): void {
    const dash = id.lastIndexOf('-');
    const life = id.slice(0, dash);
    const number = Number(id.slice(dash + 1));
    if (life === this.#life && this.#last > 0 && number > this.#last + 1)
      this.#hole(number - this.#last - 1, number - 1);
    this.#life = life;
    this.#last = number;
  }

  #hole(missed: number, upTo: number): void {
    this.#last = upTo;
    this.#handlers.gap(missed);
  }

  #again(source: EventSource): void {
    if (source === this.#source) this.#connect();
  }

  #watch(): void {
    const silence = performance.now() - this.#heardAt;
    if (silence < SILENCE_MS) return;
    this.#handlers.connection('lost', silence);
    // a connection that is open and silent is as good as none: a proxy, a suspended machine
    if (silence > 3 * SILENCE_MS && this.#source?.readyState === EventSource.OPEN) {
      this.#source.close();
      this.#heardAt = performance.now();
      this.#connect();
    }
  }
}

/** Asks for something that is no stream. */
export async function get<Answer>(path: string): Promise<Answer> {
  const response = await fetch(path);
  if (!response.ok) throw new Error(await reasonOf(response));
  return (await response.json()) as Answer;
}

/** @throws also when there is nothing there any more (204) */
export async function getBytes(path: string): Promise<Uint8Array> {
  const response = await fetch(path);
  if (!response.ok || response.status === 204) throw new Error(await reasonOf(response));
  return new Uint8Array(await response.arrayBuffer());
}

async function reasonOf(response: Response): Promise<string> {
  try {
    return ((await response.json()) as { readonly message: string }).message;
  } catch {
    return `${response.status} ${response.statusText}`;
  }
}
