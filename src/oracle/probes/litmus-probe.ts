/**
 * The oracles of a litmus test on real threads: ledgers, and rules that need to know what other workers did, which small machines
 * can share (`OracleOptions.sharedSteps`): which stage-2 tables are back in the pool, and which pages ksmd has passed over.
 * The other rules about scanners look at state that the actor's own lock keeps still, so they are exact here as on one thread.
 */
import type { Context } from '../../machine/context.js';
import type { Machine } from '../../machine/layout.js';
import { LedgerProbe } from './ledger-probe.js';
import type { OracleOptions } from '../options.js';
import { Scanners } from '../rules/mm/scanners.js';
import { Stage2Tables } from '../rules/kvm/stage2-tables.js';

/** Bytes that all workers share: one per stage-2 table, one per user page. */
export const sharedStepBytes = (m: Machine): number => m.s2Tables + m.mms * m.mmPages;

export class LitmusProbe extends LedgerProbe {
  readonly #scanners: Scanners;
  readonly #stage2Tables: Stage2Tables;

  constructor(m: Machine, options: OracleOptions, buffer: ArrayBufferLike | null, steps: SharedArrayBuffer) {
    super(m, options, buffer);
    this.#stage2Tables = new Stage2Tables(m, this.log, new Uint8Array(steps, 0, m.s2Tables));
    this.#scanners = new Scanners(m, this.log, new Uint8Array(steps, m.s2Tables, m.mms * m.mmPages));
  }

  override onEntry(ctx: Context, mm: number, vpn: number, word: number, before: number, after: number): void {
    super.onEntry(ctx, mm, vpn, word, before, after);
    this.#scanners.changed(mm, vpn);
  }

  override onStage2Table(_ctx: Context, table: number, inUse: boolean): void {
    this.#stage2Tables.changed(table, inUse);
  }

  override onStage2Leaf(ctx: Context, table: number, vm: number, gfn: number): void {
    this.#stage2Tables.stores(ctx, table, vm, gfn);
  }

  override onHintFault(ctx: Context, mm: number, vpn: number): void {
    this.#scanners.hintFault(ctx, mm, vpn);
  }

  override onKsmPassed(ctx: Context, mm: number, vpn: number): void {
    this.#scanners.passed(ctx, mm, vpn);
  }

  override onKsmVmaWalk(ctx: Context, mm: number): void {
    this.#scanners.vmasWalked(ctx, mm);
  }

  override onKsmNodeFreed(ctx: Context, node: number): void {
    this.#scanners.nodeFreed(ctx, node);
  }
}
