/** The local oracles with ghost ledgers: this worker's pins and writes, to be summed at a drain. */
import type { Context } from '../../machine/context.js';
import { isPresent } from '../../machine/entries.js';
import type { Machine } from '../../machine/layout.js';
import { deviceAccesses } from '../rules/mm/device.js';
import { ANY, BASE, EMPTIED, Ledger, ZAPPED } from '../ledgers/ledger.js';
import { LocalProbe } from './local-probe.js';
import { userPageOf } from '../rules/mm/lost.js';
import type { OracleOptions } from '../options.js';
import { pinnedDiscarded, pinnedFreed } from '../rules/mm/pin.js';
import { entryAt, pfnOfEntry } from '../view.js';

export class LedgerProbe extends LocalProbe {
  override readonly ledger: Ledger;
  /** Returned pins by frame, of all workers; null: this worker knows only its own. */
  protected readonly sharedPins: Int32Array | null;
  readonly #pins: (pfn: number) => number;

  constructor(m: Machine, options: OracleOptions, buffer: ArrayBufferLike | null) {
    const ledger = buffer === null ? new Ledger(m) : new Ledger(m, buffer);
    const shared = options.sharedPins == null ? null : new Int32Array(options.sharedPins);
    const pins =
      shared === null ? (pfn: number): number => ledger.pins(pfn) : (pfn: number): number => Atomics.load(shared, pfn);
    super(m, options, pins, true);
    this.ledger = ledger;
    this.sharedPins = shared;
    this.#pins = pins;
  }

  override reset(): void {
    super.reset();
    this.ledger.reset();
    this.sharedPins?.fill(0);
  }

  override knows(_ctx: Context, mm: number, vpn: number, _pfn: number, content: number): void {
    this.ledger.restart(mm * this.m.mmPages + vpn, BASE, content);
  }

  override onFree(ctx: Context, pfn: number, order: number): void {
    super.onFree(ctx, pfn, order);
    pinnedFreed(ctx, this.log, this.#pins, pfn, order);
  }

  override onPinned(_ctx: Context, mm: number, vpn: number, pfn: number): void {
    const { m } = this;
    this.pinnedStage2.pinsChanged();
    // a zap may have come between the moment of pinning and the return
    const entry = entryAt(m, mm, vpn);
    const stands = isPresent(entry) && pfnOfEntry(m, entry, vpn) === pfn;
    this.ledger.pin(pfn, stands ? mm * m.mmPages + vpn : -1);
    if (this.sharedPins !== null) Atomics.add(this.sharedPins, pfn, 1);
  }

  override onUnpin(_ctx: Context, pfn: number): void {
    this.pinnedStage2.pinsChanged();
    this.ledger.unpin(pfn);
    if (this.sharedPins !== null) Atomics.sub(this.sharedPins, pfn, 1);
  }

  override onDeviceAccess(ctx: Context, pfn: number, register: number): void {
    deviceAccesses(ctx, this.log, pfn, register, this.holdersOf(pfn));
  }

  /** Pins and kept references of a frame; -1: this worker does not know all of them. */
  protected holdersOf(pfn: number): number {
    return this.sharedPins === null ? -1 : Atomics.load(this.sharedPins, pfn);
  }

  override onHeld(_ctx: Context, pfn: number, delta: number): void {
    this.ledger.hold(pfn, delta);
  }

  override onWrite(ctx: Context, guest: boolean, space: number, at: number, pfn: number, content: number): void {
    super.onWrite(ctx, guest, space, at, pfn, content);
    const { m, ledger } = this;
    ledger.wrote(guest ? ledger.userPages + space * m.vmPages + at : space * m.mmPages + at, content);
  }

  override onDeviceWrite(ctx: Context, pfn: number, content: number): void {
    super.onDeviceWrite(ctx, pfn, content);
    const userPage = userPageOf(this.m, pfn);
    if (userPage >= 0) this.ledger.deviceWrote(userPage, content);
  }

  override onZapped(_ctx: Context, mm: number, start: number, end: number): void {
    const { ledger } = this;
    const first = mm * this.m.mmPages;
    for (let vpn = start; vpn < end; vpn++) {
      ledger.mark(first + vpn, ZAPPED);
      ledger.forgetPin(first + vpn);
    }
  }

  override onDiscarded(ctx: Context, mm: number, vpn: number, pfn: number): void {
    const userPage = mm * this.m.mmPages + vpn;
    this.ledger.mark(userPage, ZAPPED);
    pinnedDiscarded(ctx, this.log, this.#pins, mm, vpn, pfn);
  }

  override onZapEnd(_ctx: Context, mm: number, start: number, end: number, zapped: boolean): void {
    if (!zapped) return;
    for (let vpn = start; vpn < end; vpn++) this.ledger.mark(mm * this.m.mmPages + vpn, EMPTIED);
  }

  override onForked(_ctx: Context, _parent: number, child: number): void {
    const first = child * this.m.mmPages;
    // what the parent had then, which this worker does not know
    for (let vpn = 0; vpn < this.m.mmPages; vpn++) this.ledger.mark(first + vpn, ANY);
  }

  override onHostOwner(ctx: Context, pfn: number, wipeDemanded: boolean): void {
    super.onHostOwner(ctx, pfn, wipeDemanded);
    const userPage = wipeDemanded ? userPageOf(this.m, pfn) : -1;
    if (userPage >= 0) this.ledger.mark(userPage, ZAPPED);
  }
}
