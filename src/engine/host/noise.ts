/**
 * The noise maker of runs on real threads: holds actors up at schedule points, so that what needs two actors in one window of a few
 * instructions comes about in seconds, on idle cores as on busy ones (as ConTest, LACE and rr's chaos mode do for other programs).
 * Correctness never rests on it: a delay is what a preemption is, at any place, whatever the actor holds.
 *
 * Where: an actor runs at speed until it has rested long enough for its share of delays; some points later (how many is drawn) the
 * maker *hunts*: for at most `HUNT` points it is asked at each one. A point is known by its number in the code (its `site`;
 * .ci/blocking.mjs gives them), or by its effect where actors run as coroutines. Each hunt counts what it passes, and
 * takes a point the likelier the rarer its site has been: in the long run every site that the actor passes is delayed about as
 * often, loops of a thousand turns no oftener than the one look before them. Points where something is decided or acted upon weigh more:
 * an actor that stands before an acquisition, a store or an update has looked already, and acts on what may be untrue by then; one
 * that stands before a release only holds the others up. Most of all weigh those between a release and the next acquisition: what was
 * seen under the one lock is acted upon under the other.
 *
 * How long: until the clients have made some progress, all of them or one that is drawn (others.ts), and no longer than it says. So a
 * delay is short where cores are free and long where they are not, and means the same: others have had their turns.
 */
import {
  EFFECT_ACQUIRE,
  EFFECT_ACQUIRE_READ,
  EFFECT_ADD,
  EFFECT_LOCAL,
  EFFECT_RELEASE,
  EFFECT_RELEASE_READ,
  EFFECT_RETRY,
  EFFECT_RMW,
  EFFECT_TRY,
  EFFECT_WRITE,
} from '../../machine/effects.js';

/** Settings by name: percent of a client's time that its delays may take. */
export const NOISE = { off: 0, light: 0.1, normal: 0.3, heavy: 8 } as const;
export type NoiseName = keyof typeof NOISE;
export const NOISE_NAMES = Object.keys(NOISE) as readonly NoiseName[];
/** Of a scenario that says nothing. */
export const DEFAULT_NOISE: NoiseName = 'normal';

/**
 * The share of an actor's time, percent. Daemons sleep most of it, and decide about other actors' pages when they do not: they are held
 * up sixty times as much, which costs the clients little.
 * @param tier 0 client, 1 daemon, 2 server
 */
export const noiseShare = (percent: number, tier: number): number => Math.min(90, tier === 1 ? 60 * percent : percent);

/** The name of a share, as reports have it. */
export const noiseName = (percent: number): string =>
  NOISE_NAMES.find((name) => NOISE[name] === percent) ?? `${percent}%`;

/** Points of one hunt. */
const HUNT = 64;
/** The most points between the end of a rest and a hunt, as a power of two. */
const AHEAD_BITS = 12;
/** Sites that are told apart; a power of two. */
const SITES = 2048;
/** Counts are halved when so many points have been counted, so that the maker follows what the actor does. */
const COUNTED_MAX = 1 << 16;
/** The shortest and the longest cap of a delay, as powers of two: 256 us to 32 ms. */
const CAP_BITS = [8, 15] as const;

/** How much likelier than another one a point is taken, by the effect that it stands before. */
const WEIGHTS: readonly number[] = Array.from({ length: 16 }, (_, kind) => {
  switch (kind) {
    case EFFECT_ACQUIRE:
    case EFFECT_ACQUIRE_READ:
    case EFFECT_TRY:
    case EFFECT_WRITE:
    case EFFECT_RMW:
      return 2;
    case EFFECT_ADD:
    case EFFECT_LOCAL:
    case EFFECT_RETRY:
      return 0.5;
    case EFFECT_RELEASE:
    case EFFECT_RELEASE_READ:
      return 0.25;
    default:
      return 1;
  }
});

/** How much likelier again between a release and the next acquisition. */
const BETWEEN_LOCKS = 8;

const isRelease = (kind: number): boolean => kind === EFFECT_RELEASE || kind === EFFECT_RELEASE_READ;
const isAcquisition = (kind: number): boolean =>
  kind === EFFECT_ACQUIRE || kind === EFFECT_ACQUIRE_READ || kind === EFFECT_TRY;

/** One actor's. */
export class NoiseMaker {
  /** Points that it may pass before the maker is asked again; 0 = at the next one. */
  left = 0;
  /** Delays so far. */
  delays = 0;
  readonly #share: number;
  readonly #random: () => number;
  readonly #counts = new Int32Array(SITES);
  #counted = 0;
  #sites = 0;
  /** Points left of the hunt under way; 0 = none. */
  #hunt = 0;
  /** The hunt has passed a release, and no acquisition since. */
  #between = false;
  /** When it has rested enough, host clock, microseconds. */
  #restUntil: number;
  /** Points left before the next hunt; -1 = it rests. */
  #ahead = -1;

  /**
   * @param percent of the actor's time that delays may take, above 0
   * @param random the next 32-bit word, unsigned
   * @param now the host's clock, microseconds
   */
  constructor(percent: number, random: () => number, now: number) {
    this.#share = Math.min(percent, 90) / 100;
    this.#random = random;
    this.#restUntil = now;
  }

  /**
   * The actor stands at a point, having passed `passed` since it was asked last. Sets `left`.
   * @param site the point's number; in place of one, below 16, its effect's kind
   * @param kind the kind of the effect that it stands before
   * @param now the host's clock, microseconds; read only between hunts
   * @param most points that it may pass before it is asked again, at most
   * @returns microseconds that it is to be held up at most; 0 = it goes on
   */
  at(site: number, kind: number, now: () => number, passed: number, most: number): number {
    if (this.#hunt > 0) return this.#hunting(site, kind, most);
    if (this.#ahead < 0) {
      if (now() >= this.#restUntil) this.#ahead = this.#random() % (2 << (this.#random() % AHEAD_BITS));
    } else {
      this.#ahead = Math.max(0, this.#ahead - passed);
    }
    if (this.#ahead === 0) {
      this.#hunt = HUNT;
      this.#between = false;
    }
    this.left = this.#ahead < 0 ? most : Math.min(most, this.#ahead);
    return 0;
  }

  /** A random 32-bit word, unsigned. */
  draw(): number {
    return this.#random();
  }

  /** A delay that counts as `micros` is over at `now`, or will be. */
  held(now: number, micros: number): void {
    this.#restUntil = now + micros * (1 / this.#share - 1) * (0.5 + (this.#random() & 0xffff) / 0x10000);
    this.#ahead = -1;
  }

  #hunting(site: number, kind: number, most: number): number {
    const at = site & (SITES - 1);
    const count = (this.#counts[at] as number) + 1;
    this.#counts[at] = count;
    if (count === 1) this.#sites++;
    if (++this.#counted >= COUNTED_MAX) this.#forget();
    this.#hunt--;
    this.left = 0;
    // HUNT points, a site's share of them count / counted: about one delay in a hunt, each site as likely
    const weight = (WEIGHTS[kind] as number) * (this.#between ? BETWEEN_LOCKS : 1);
    if (isRelease(kind)) this.#between = true;
    else if (isAcquisition(kind)) this.#between = false;
    const chance = (weight * this.#counted) / (count * this.#sites * HUNT);
    if ((this.#random() & 0xffffff) >= chance * 0x1000000) {
      if (this.#hunt === 0) {
        this.#ahead = -1;
        this.left = most;
      }
      return 0;
    }
    this.#hunt = 0;
    this.#ahead = -1;
    this.left = most;
    this.delays++;
    const [low, high] = CAP_BITS;
    const bits = low + (this.#random() % (high - low));
    return (1 << bits) + (this.#random() & ((1 << bits) - 1));
  }

  #forget(): void {
    this.#sites = 0;
    this.#counted = 0;
    for (let i = 0; i < SITES; i++) {
      const half = (this.#counts[i] as number) >> 1;
      this.#counts[i] = half;
      this.#counted += half;
      if (half > 0) this.#sites++;
    }
  }
}
