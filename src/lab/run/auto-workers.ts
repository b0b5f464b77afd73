/**
 * Finds a good number of workers while a simulation runs: hill climbing on accesses a second.
 *
 * It measures, tries one step up or down, measures again, and stays where that was better by more than the noise (`gain`);
 * otherwise it goes back and tries the other side. When neither side is better it holds, and only looks: a rate that has
 * changed a lot (the guest does something else now) makes it try again, and so does a long time. It never decides by one
 * look: a rate is the median of several, the first ones after a move left out. Each decision is told with its reason.
 *
 * A rate that drifts by itself, as while a guest boots, can make a step look good that is not; before it holds, both sides have
 * been tried again, so that does not last.
 */

/** A decision, as the report's `auto` has it. */
export interface AutoStep {
  /** Seconds since the run's first step. */
  readonly at_s: number;
  /** Workers from here on. */
  readonly workers: number;
  /** Accesses a second that were measured before it. */
  readonly rate: number;
  readonly reason: string;
}

/** The simulation, as far as the controller knows it. */
export interface AutoSubject {
  readonly elapsedSeconds: number;
  /** How many workers host actors, and how many there can be. */
  readonly workers: number;
  readonly workersMax: number;
  /** Accesses so far; it may wrap at 2^32. */
  readonly accesses: number;
  setWorkers(count: number): Promise<unknown>;
}

export interface AutoOptions {
  /** What a change must bring to be kept, as a share: 0.08 = 8 %. */
  readonly gain?: number;
  /** Seconds of one look, and looks of a measurement. */
  readonly lookSeconds?: number;
  readonly looks?: number;
  /** Seconds after a move that do not count: caches, queues and the compiler settle. */
  readonly settleSeconds?: number;
  /** Measurements that it holds for when neither side is better. */
  readonly hold?: number;
  /** A change of the rate while holding that makes it try again, as a share. */
  readonly shift?: number;
  readonly onStep?: (step: AutoStep) => void;
  /** Waits; tests have a clock of their own. */
  readonly wait?: (seconds: number) => Promise<void>;
}

const DEFAULTS = { gain: 0.08, lookSeconds: 0.4, looks: 3, settleSeconds: 0.4, hold: 10, shift: 0.4 } as const;

export class AutoWorkers {
  /** All decisions so far. */
  readonly steps: AutoStep[] = [];
  readonly #subject: AutoSubject;
  readonly #options: Required<Omit<AutoOptions, 'onStep' | 'wait'>>;
  readonly #onStep: (step: AutoStep) => void;
  readonly #wait: (seconds: number) => Promise<void>;
  readonly #done: Promise<void>;
  #stopped = false;
  #wake: () => void = () => {};

  /** Begins at once. */
  constructor(subject: AutoSubject, options: AutoOptions = {}) {
    this.#subject = subject;
    this.#options = { ...DEFAULTS, ...options };
    this.#onStep = options.onStep ?? (() => {});
    this.#wait = options.wait ?? ((seconds) => this.#sleep(seconds));
    // a move that the end of the run cuts short is no failure
    this.#done = this.#climb().catch((error: unknown) => {
      if (!this.#stopped) this.#tell(this.#subject.workers, 0, `gave up: ${(error as Error).message}`);
    });
  }

  /** Ends it; resolves when it moves nobody any more. */
  stop(): Promise<void> {
    this.#stopped = true;
    this.#wake();
    return this.#done;
  }

  async #climb(): Promise<void> {
    let here = await this.#rate();
    // with more workers than anybody has cores there is more to win below
    let direction: 1 | -1 = this.#subject.workers > 1 ? -1 : 1;
    let failures = 0;
    while (!this.#stopped) {
      const from = this.#subject.workers;
      const to = from + direction;
      if (to < 1 || to > this.#subject.workersMax) {
        failures++;
        direction = direction === 1 ? -1 : 1;
      } else {
        const there = await this.#try(to, here);
        if (this.#stopped) return;
        if (there > here * (1 + this.#options.gain)) {
          this.#tell(to, there, `stays: ${percent(there, here)} than ${count(from)}`);
          here = there;
          failures = 0;
          continue;
        }
        await this.#subject.setWorkers(from);
        this.#tell(from, there, `back: ${percent(there, here)} with ${count(to)}`);
        failures++;
        direction = direction === 1 ? -1 : 1;
        // the rate may have drifted meanwhile: what the other side is held against is measured anew
        here = await this.#rate();
      }
      if (failures < 2) continue;
      here = await this.#holdUntilItChanges(here);
      failures = 0;
    }
  }

  async #try(to: number, here: number): Promise<number> {
    await this.#subject.setWorkers(to);
    this.#tell(to, here, `tries ${count(to)}`);
    return this.#rate();
  }

  async #holdUntilItChanges(at: number): Promise<number> {
    const { hold, shift } = this.#options;
    this.#tell(this.#subject.workers, at, 'holds: neither one more nor one fewer is better');
    let now = at;
    for (let looks = 0; looks < hold && !this.#stopped; looks++) {
      now = await this.#rate();
      if (this.#stopped || Math.abs(now - at) <= at * shift) continue;
      this.#tell(this.#subject.workers, now, `looks again: the rate is ${percent(now, at)} than before`);
      return now;
    }
    if (!this.#stopped) this.#tell(this.#subject.workers, now, 'looks again: it has held for long');
    return now;
  }

  /** Accesses a second: the median of some looks, after the time to settle. */
  async #rate(): Promise<number> {
    await this.#wait(this.#options.settleSeconds);
    const rates: number[] = [];
    for (let look = 0; look < this.#options.looks && !this.#stopped; look++) {
      const [time, accesses] = [this.#subject.elapsedSeconds, this.#subject.accesses];
      await this.#wait(this.#options.lookSeconds);
      const seconds = this.#subject.elapsedSeconds - time;
      const grown = this.#subject.accesses - accesses;
      if (seconds > 0) rates.push((grown < 0 ? grown + 2 ** 32 : grown) / seconds);
    }
    const sorted = rates.toSorted((x, y) => x - y);
    return sorted[sorted.length >> 1] ?? 0;
  }

  #tell(workers: number, rate: number, reason: string): void {
    const at_s = Math.round(this.#subject.elapsedSeconds * 1000) / 1000;
    const step = { at_s, workers, rate: Math.round(rate), reason };
    this.steps.push(step);
    this.#onStep(step);
  }

  #sleep(seconds: number): Promise<void> {
    if (this.#stopped) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, seconds * 1000);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

const count = (workers: number): string => `${workers} worker${workers === 1 ? '' : 's'}`;

/** `12 % faster`, `3 % slower`. */
function percent(now: number, before: number): string {
  if (before <= 0) return now > 0 ? 'faster' : 'no faster';
  const change = Math.round((now / before - 1) * 100);
  return change >= 0 ? `${change} % faster` : `${-change} % slower`;
}
