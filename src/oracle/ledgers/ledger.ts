/**
 * The ghost ledger of one worker: who pinned what, and what was written last, as plain words that only this worker writes. The
 * auditor sums the ledgers of all workers at a drain, when they stand still; on one thread there is one ledger, exact at
 * every step. A ledger crosses threads as a SharedArrayBuffer.
 *
 *   per frame (2 words)   pins returned minus unpins begun; the user page of the newest pin by this worker, + 1
 *   last                  per user page and per guest page: the content that this worker wrote last
 *   device                per user page: the content that a device of this worker wrote last
 *   pinned                per user page: the frame that this worker pinned there last, + 1
 *   held                  per frame: FOLL_GET references that outlive the call that took them, minus those given back
 *   flags (bytes)         per user page and per guest page: WRITTEN, DEVICE, ZAPPED, BASE, ANY, EMPTIED
 *
 * User pages are numbered mm * mmPages + vpn; guest pages come behind them, vm * vmPages + gfn.
 */
import type { Machine } from '../../machine/layout.js';

export const FRAME_PINS = 0;
export const FRAME_PIN_PAGE = 1;
const FRAME_WORDS = 2;

/** This worker's actors wrote the page since the last audit; `last` holds the newest content. */
export const WRITTEN = 1;
export const DEVICE = 2;
/** Discarded on purpose since the last audit: zeroes are as good as any write. */
export const ZAPPED = 4;
/** `last` holds what the page held at the last audit (the first ledger's, for all). */
export const BASE = 8;
/** Anything may be in it until it is written again. */
export const ANY = 16;
/** A zap of the page has returned since the last audit: what was there before it is not there any more. */
export const EMPTIED = 32;

interface Shape {
  readonly userPages: number;
  readonly pages: number;
  readonly lastAt: number;
  readonly deviceAt: number;
  readonly pinnedAt: number;
  readonly heldAt: number;
  readonly words: number;
}

function shapeOf(m: Machine): Shape {
  const userPages = m.mms * m.mmPages;
  const pages = userPages + m.vms * m.vmPages;
  const lastAt = m.frames * FRAME_WORDS;
  const deviceAt = lastAt + pages;
  const pinnedAt = deviceAt + userPages;
  const heldAt = pinnedAt + userPages;
  return { userPages, pages, lastAt, deviceAt, pinnedAt, heldAt, words: heldAt + m.frames };
}

/** Bytes of a worker's ledger: 12 per frame, 13 per user page and 5 per guest page. */
export function ledgerBytes(m: Machine): number {
  const { words, pages } = shapeOf(m);
  return 4 * words + Math.ceil(pages / 4) * 4;
}

/** Bytes of the pins that all workers share: one word per frame. */
export const sharedPinBytes = (m: Machine): number => 4 * m.frames;

export class Ledger {
  readonly buffer: ArrayBufferLike;
  readonly words: Int32Array;
  readonly flags: Uint8Array;
  readonly userPages: number;
  readonly pages: number;
  readonly lastAt: number;
  readonly deviceAt: number;
  readonly pinnedAt: number;
  readonly heldAt: number;

  /** @param buffer of {@link ledgerBytes}; without one the ledger makes its own */
  constructor(m: Machine, buffer?: ArrayBufferLike) {
    const shape = shapeOf(m);
    this.buffer = buffer ?? new ArrayBuffer(ledgerBytes(m));
    if (this.buffer.byteLength < ledgerBytes(m)) throw new RangeError('the ledger is too small for this machine');
    this.words = new Int32Array(this.buffer, 0, shape.words);
    this.flags = new Uint8Array(this.buffer, 4 * shape.words, shape.pages);
    this.userPages = shape.userPages;
    this.pages = shape.pages;
    this.lastAt = shape.lastAt;
    this.deviceAt = shape.deviceAt;
    this.pinnedAt = shape.pinnedAt;
    this.heldAt = shape.heldAt;
  }

  reset(): void {
    this.words.fill(0);
    this.flags.fill(0);
  }

  /** Pins of frame `pfn` by this worker: negative when others' pins were released here. */
  pins(pfn: number): number {
    return this.words[pfn * FRAME_WORDS] as number;
  }

  /** A pin of (mm, vpn) -> pfn has been returned. `userPage` -1: the process had let go of the page by then. */
  pin(pfn: number, userPage: number): void {
    const at = pfn * FRAME_WORDS;
    this.words[at] = (this.words[at] as number) + 1;
    if (userPage < 0) return;
    this.words[at + FRAME_PIN_PAGE] = userPage + 1;
    this.words[this.pinnedAt + userPage] = pfn + 1;
  }

  /** An unpin of `pfn` has begun: without pins of this worker left, it claims the page no more. */
  unpin(pfn: number): void {
    const at = pfn * FRAME_WORDS;
    const left = (this.words[at] as number) - 1;
    this.words[at] = left;
    const userPage = (this.words[at + FRAME_PIN_PAGE] as number) - 1;
    if (left > 0 || userPage < 0) return;
    this.words[at + FRAME_PIN_PAGE] = 0;
    if (this.words[this.pinnedAt + userPage] === pfn + 1) this.words[this.pinnedAt + userPage] = 0;
  }

  /** FOLL_GET references of frame `pfn` that this worker's actors keep: negative when others' were given back here. */
  held(pfn: number): number {
    return this.words[this.heldAt + pfn] as number;
  }

  hold(pfn: number, delta: number): void {
    this.words[this.heldAt + pfn] = (this.words[this.heldAt + pfn] as number) + delta;
  }

  /** The frame that this worker has pinned at a user page, or -1. */
  pinnedAtPage(userPage: number): number {
    return (this.words[this.pinnedAt + userPage] as number) - 1;
  }

  forgetPin(userPage: number): void {
    this.words[this.pinnedAt + userPage] = 0;
  }

  wrote(page: number, content: number): void {
    this.words[this.lastAt + page] = content;
    this.flags[page] = ((this.flags[page] as number) & ~BASE) | WRITTEN;
  }

  deviceWrote(userPage: number, content: number): void {
    this.words[this.deviceAt + userPage] = content;
    this.flags[userPage] = (this.flags[userPage] as number) | DEVICE;
  }

  mark(page: number, flag: number): void {
    this.flags[page] = (this.flags[page] as number) | flag;
  }

  last(page: number): number {
    return this.words[this.lastAt + page] as number;
  }

  device(userPage: number): number {
    return this.words[this.deviceAt + userPage] as number;
  }

  /** After an audit: what is there now is where the next one begins. */
  restart(page: number, flag: number, content: number): void {
    this.words[this.lastAt + page] = content;
    this.flags[page] = flag;
  }
}
