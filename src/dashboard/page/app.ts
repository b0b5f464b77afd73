/** What the panels share: the last messages, who listens for which, and how to send a command. */
import type {
  ActorsMessage,
  Command,
  CommandAnswer,
  HelloMessage,
  MemoryMessage,
  MetricsMessage,
  RaceMessage,
  ScheduleMessage,
  StateMessage,
} from '../protocol.js';
import { byId } from './dom.js';

interface Topics {
  hello: HelloMessage;
  state: StateMessage;
  metrics: MetricsMessage;
  actors: ActorsMessage;
  memory: MemoryMessage;
  race: RaceMessage;
  schedule: ScheduleMessage;
  /** Messages are missing. */
  gap: number;
  /** Another run has begun. */
  run: number;
  /** Colours are others. */
  theme: undefined;
}

export class App {
  /** The lists and names that do not change; null before the first connection. */
  hello: HelloMessage | null = null;
  state: StateMessage | null = null;
  #listeners: { [Topic in keyof Topics]?: ((message: Topics[Topic]) => void)[] } = {};

  on<Topic extends keyof Topics>(topic: Topic, listener: (message: Topics[Topic]) => void): void {
    const listeners: ((message: Topics[Topic]) => void)[] = this.#listeners[topic] ?? [];
    listeners.push(listener);
    this.#listeners = { ...this.#listeners, [topic]: listeners };
  }

  emit<Topic extends keyof Topics>(topic: Topic, message: Topics[Topic]): void {
    for (const listener of this.#listeners[topic] ?? []) listener(message);
  }

  /** Sends a command, and says what came of it. Never rejects. */
  async command(command: Command): Promise<CommandAnswer> {
    let answer: CommandAnswer;
    try {
      const response = await fetch('api/command', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(command),
      });
      answer = (await response.json()) as CommandAnswer;
    } catch (error) {
      answer = { ok: false, message: `not sent: ${error instanceof Error ? error.message : String(error)}` };
    }
    this.say(answer.message, answer.ok);
    return answer;
  }

  /** Shows one line for a while, and to screen readers. */
  say(message: string, ok = true): void {
    const said = byId('said');
    said.textContent = message;
    said.className = ok ? 'shown' : 'shown bad';
    clearTimeout(this.#saidTimer);
    this.#saidTimer = window.setTimeout(() => (said.className = ''), ok ? 4000 : 9000);
  }

  #saidTimer = 0;
}

/** How far outside the window an element is still drawn: all of an ordinary page, so that it can be printed whole. */
const NEAR = '6000px 0px';

/** Whether an element is to be drawn: not in a tab that nobody sees, and not while it is hidden or far away. */
export function watchVisible(element: Element, shown: () => void): () => boolean {
  let visible = false;
  new IntersectionObserver(
    (entries) => {
      const before = visible;
      visible = entries.at(-1)?.isIntersecting ?? false;
      if (visible && !before) shown();
    },
    { rootMargin: NEAR },
  ).observe(element);
  document.addEventListener('visibilitychange', () => {
    if (visible && !document.hidden) shown();
  });
  return () => visible && !document.hidden;
}

/** Does a job once before the next picture, however often it is asked for until then. */
export function oncePerFrame(job: () => void): () => void {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      job();
    });
  };
}
