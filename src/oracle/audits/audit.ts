/**
 * The audit: everything of kernel-model 5.1 that must hold of a machine at rest. No actor is inside an operation, and the workers
 * stand still: after a drain, or when a one-thread schedule has finished.
 */
import type { Machine } from '../../machine/layout.js';
import { MC_PLACE_HOST } from '../../hyp/memcache.js';
import { PKVM_PAGE_OWNED } from '../../machine/entries.js';
import { auditAccounting } from '../rules/mm/accounting.js';
import { auditBalance, auditLocks } from '../rules/balance.js';
import { Census } from './census.js';
import { auditExclusive } from '../rules/mm/exclusive.js';
import { auditFree } from '../rules/mm/free.js';
import { HypPlaces, hypStateOf } from '../rules/kvm/hyp-memcache.js';
import type { Ledger } from '../ledgers/ledger.js';
import { LostAudit } from '../rules/mm/lost.js';
import { auditMaps } from '../rules/mm/map.js';
import type { OracleOptions } from '../options.js';
import { auditOwnership } from '../rules/kvm/ownership.js';
import { auditPins, sumOfPins } from '../rules/mm/pin.js';
import { auditReadOnly } from '../rules/mm/read-only.js';
import { auditRefs } from '../rules/mm/ref.js';
import { auditSecrets } from '../rules/kvm/secret.js';
import { auditSlots } from '../rules/kvm/slots.js';
import { auditStale } from '../rules/kvm/stale.js';
import { auditSwap } from '../rules/mm/swap.js';
import { auditTlbs } from '../rules/kvm/tlb.js';
import type { Violation } from '../violation.js';
import { ViolationLog } from '../violation.js';

export class Audit {
  readonly #m: Machine;
  readonly #census: Census;
  readonly #places: HypPlaces;
  readonly #lost: LostAudit;
  readonly #log = new ViolationLog();

  constructor(m: Machine, { actors, claims }: OracleOptions) {
    this.#m = m;
    this.#census = new Census(m, actors);
    this.#places = new HypPlaces(m);
    this.#lost = new LostAudit(m, claims);
  }

  /** The machine is back at its start. */
  reset(): void {
    this.#lost.reset();
  }

  /** @param ledgers of all workers, or none: then pins are guessed from the counts, and I-LOST is not judged */
  run(options: OracleOptions, ledgers: readonly Ledger[]): Violation[] {
    const m = this.#m;
    const log = this.#log;
    const { claims, actors } = options;
    const bitMatters = options.keepsExclusiveBit !== false;
    log.reset();
    const census = this.#census.take();
    census.bitMatters = bitMatters;
    const places = this.#places.walk(claims.el2 ? log : null);
    auditBalance(m, actors, log);
    auditLocks(m, log);
    auditFree(census, log);
    auditMaps(census, log);
    auditSwap(census, log);
    const pins = ledgers.length === 0 ? null : (pfn: number): number => sumOfPins(ledgers, pfn);
    const kernelOwned = (pfn: number): boolean =>
      places.place[pfn] !== MC_PLACE_HOST || (claims.el2 && hypStateOf(m, pfn) === PKVM_PAGE_OWNED);
    const held = (pfn: number): number => ledgers.reduce((sum, ledger) => sum + ledger.held(pfn), 0);
    auditRefs(census, log, pins, held, kernelOwned);
    auditExclusive(census, log);
    auditReadOnly(census, log);
    auditTlbs(m, actors, claims.el2, log);
    if (claims.stage2FollowsHost) auditStale(m, claims, bitMatters, log);
    auditSlots(m, log);
    if (claims.el2) auditOwnership(census, log);
    auditAccounting(m, log);
    if (ledgers.length > 0) {
      auditPins(m, ledgers, options.pinKeepsPlace ?? bitMatters, log);
      // on one thread each read is judged
      if (claims.el2 && options.mode === 'threads') auditSecrets(m, ledgers, log);
      this.#lost.run(ledgers, log);
    }
    return log.violations.slice();
  }
}
