/**
 * How many machines a round has, and how far apart the workers begin: what gives the most iterations per second in which the actors
 * overlapped. Each setting is tried for some rounds; the best is kept for a while, and then all are tried again, since what other
 * programs do on the machine changes it.
 */
interface Setting {
  readonly batch: number;
  readonly spread: number;
}

const BATCHES = [8, 16, 32, 64] as const;
const SPREADS = [0, 1, 3] as const;
export const MACHINES_MAX = 64;

const TRIAL_ROUNDS = 12;
const KEPT_ROUNDS = 1500;

export class Adapter {
  readonly #settings: readonly Setting[];
  readonly #scores: number[];
  #trial = 0;
  #rounds = 0;
  #overlapped = 0;
  #since = 0;
  #kept = -1;

  /** @param machines machines there are */
  constructor(machines: number) {
    this.#settings = BATCHES.filter((batch) => batch <= machines).flatMap((batch) =>
      SPREADS.map((spread) => ({ batch, spread })),
    );
    this.#scores = this.#settings.map(() => 0);
  }

  get setting(): Setting {
    return this.#settings[this.#kept < 0 ? this.#trial : this.#kept] as Setting;
  }

  /**
   * A round has ended in which the actors of `overlapped` machines overlapped.
   * @param now milliseconds
   */
  round(overlapped: number, now: number): void {
    if (this.#rounds === 0) this.#since = now;
    this.#rounds++;
    this.#overlapped += overlapped;
    if (this.#kept >= 0) {
      if (this.#rounds < KEPT_ROUNDS) return;
      this.#kept = -1;
      this.#trial = 0;
    } else {
      if (this.#rounds < TRIAL_ROUNDS) return;
      const elapsed = Math.max(now - this.#since, 0.001);
      // an iteration without overlap is worth little, not nothing
      this.#scores[this.#trial] = (this.#overlapped + 0.01 * this.#rounds * this.setting.batch) / elapsed;
      this.#trial++;
      if (this.#trial === this.#settings.length) this.#kept = this.#scores.indexOf(Math.max(...this.#scores));
    }
    this.#rounds = 0;
    this.#overlapped = 0;
  }
}
