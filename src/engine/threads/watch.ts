/** When the watchdog looks: every period, while actors ought to move. */
import type { Hang, Watchdog } from './watchdog.js';

export class Watch {
  readonly #watchdog: Watchdog | null;
  readonly #periodMs: number;
  readonly #onHang: (hang: Hang) => void;
  #timer: NodeJS.Timeout | undefined;
  #on = false;

  /** @param watchdog null: nobody looks */
  constructor(watchdog: Watchdog | null, periodMs: number, onHang: (hang: Hang) => void) {
    this.#watchdog = watchdog;
    this.#periodMs = periodMs;
    this.#onHang = onHang;
  }

  start(): void {
    if (this.#watchdog === null) return;
    this.#timer = setInterval(() => this.#look(), this.#periodMs);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** From here on actors ought to move, or need not. */
  turn(on: boolean): void {
    if (on && !this.#on) this.#watchdog?.reset();
    this.#on = on;
  }

  #look(): void {
    const hang = this.#on ? (this.#watchdog?.look() ?? null) : null;
    if (hang !== null) this.#onHang(hang);
  }
}
