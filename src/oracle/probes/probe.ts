/** The probe of a run without oracles: it keeps what reports and the watchdog read, and finds nothing. */
import { type Context, Probe } from '../../machine/context.js';
import { ACTOR_OPERATION, ACTOR_PROGRESS } from '../../machine/layout.js';
import { look as peek } from '#words';
import type { Ledger } from '../ledgers/ledger.js';
import { type Violation, ViolationLog } from '../violation.js';

export class OracleProbe extends Probe {
  /** The first violations, as data; it only grows, until `reset`. */
  readonly violations: readonly Violation[];
  /** What real kernels are known to do as well (`known: true`): the first ones, as data. No violations. */
  readonly knownWindows: readonly Violation[];
  /** Ghost ledgers, where the level has them. */
  readonly ledger: Ledger | null = null;
  protected readonly log = new ViolationLog();

  constructor() {
    super();
    this.violations = this.log.violations;
    this.knownWindows = this.log.known;
  }

  /** All violations, those not kept included. */
  get violationCount(): number {
    return this.log.count;
  }

  /** Back to a machine at its start: call it when the machine's words have been set back. */
  reset(): void {
    this.log.reset();
  }

  /** As {@link reset}, for the violations alone: what it knows of the machine is put back by others. */
  forget(): void {
    this.log.reset();
  }

  /** Before a run: the process's page at `vpn` is frame `pfn` and holds `content`. */
  knows(_ctx: Context, _mm: number, _vpn: number, _pfn: number, _content: number): void {}

  /** Before a run: somebody has pinned `pfn`, which the process had at `vpn` then and may have let go of since. */
  keepsPin(ctx: Context, mm: number, vpn: number, pfn: number): void {
    this.onPinned(ctx, mm, vpn, pfn);
  }

  override onProgress(ctx: Context): void {
    const at = ctx.recordAt + ACTOR_PROGRESS;
    ctx.words[at] = (peek(ctx.words, at) + 1) | 0;
  }

  override onOperation(ctx: Context, operation: number, begin: boolean): void {
    ctx.words[ctx.recordAt + ACTOR_OPERATION] = begin ? operation : 0;
  }
}
