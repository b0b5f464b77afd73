/**
 * The oracles: probes that hook into kernel code, and the audit of a machine at rest. Each invariant has a file of its own; the
 * table of them is INVARIANTS.
 *
 * A probe belongs to a worker for its life, or to the one-thread engine. There is a class for each level, so that calls through a
 * worker's probe stay monomorphic and a level costs nothing of the next.
 */
import type { Machine } from '../machine/layout.js';
import { Audit } from './audits/audit.js';
import { ExactProbe } from './probes/exact-probe.js';
import { Ledger } from './ledgers/ledger.js';
import { LedgerProbe } from './probes/ledger-probe.js';
import { LitmusProbe } from './probes/litmus-probe.js';
import { LocalProbe } from './probes/local-probe.js';
import type { OracleOptions } from './options.js';
import { withLockEvents } from './probes/tracing-probe.js';
import { OracleProbe } from './probes/probe.js';
import type { Violation } from './violation.js';

export { INVARIANTS, type InvariantRow } from './table.js';
export { Ledger } from './ledgers/ledger.js';
export { sharedStepBytes } from './probes/litmus-probe.js';
export { ledgerBytes, sharedPinBytes } from './ledgers/ledger.js';
export type { OracleOptions } from './options.js';
export { OracleProbe } from './probes/probe.js';
export type { HeldRecord, Violation, ViolationSubject } from './violation.js';

/**
 * The probe of one worker, or of a one-thread run.
 * @param ledgers this worker's ledger ({@link ledgerBytes}), where level `all` runs on threads; on one thread the probe makes its own
 */
export function createProbe(m: Machine, options: OracleOptions, ledgers: SharedArrayBuffer | null): OracleProbe {
  const kind = <A extends unknown[]>(Kind: new (...args: A) => OracleProbe): new (...args: A) => OracleProbe =>
    options.lockEvents === true ? withLockEvents(Kind) : Kind;
  if (options.level === 'off') return new (kind(OracleProbe))();
  if (options.level === 'local') return new (kind(LocalProbe))(m, options, () => 0, false);
  const { sharedSteps } = options;
  if (options.mode === 'threads' && sharedSteps != null) return new LitmusProbe(m, options, ledgers, sharedSteps);
  const Kind = options.mode === 'one' ? ExactProbe : LedgerProbe;
  return new (kind(Kind))(m, options, ledgers);
}

/** An audit keeps its arrays, and what the machine held at the audit before. */
const audits = new WeakMap<Machine, Audit>();

function auditOf(m: Machine, options: OracleOptions): Audit {
  const known = audits.get(m);
  if (known !== undefined) return known;
  const audit = new Audit(m, options);
  audits.set(m, audit);
  return audit;
}

/** The machine is at its start, for the first time or again: what its last audit saw is no past of it. */
export const restartAudit = (m: Machine, options: OracleOptions): void => auditOf(m, options).reset();

/**
 * Everything that must hold of a machine at rest: after a drain, or when a one-thread schedule has finished.
 * @param ledgers those of all workers, always in the same order; I-LOST is judged against the audit before
 * @param probes probes of this thread, whose ledgers count too
 */
export function auditAll(
  m: Machine,
  options: OracleOptions,
  ledgers: readonly (SharedArrayBuffer | Ledger)[],
  probes: readonly OracleProbe[] = [],
): Violation[] {
  if (options.level === 'off') return [];
  const all = ledgers.map((each) => (each instanceof Ledger ? each : new Ledger(m, each)));
  for (const { ledger } of probes) if (ledger !== null) all.push(ledger);
  return auditOf(m, options).run(options, options.level === 'all' ? all : []);
}
