/**
 * The oracles of a run on real threads: what workers keep in shared memory, the audits while all actors stand still, and the teardown
 * at the end. The probe of each worker is made by probes.ts.
 */
import { VM_STATE_LIVE } from '../../machine/abi.js';
import { VM_STATE, vmWord, type Machine } from '../../machine/layout.js';
import { STAT, countStat } from '../../machine/stats.js';
import { countDivergences } from '../../kvm/divergence.js';
import {
  type Violation,
  auditAll,
  createProbe as createOracle,
  ledgerBytes,
  sharedPinBytes,
} from '../../oracle/index.js';
import { settlePins } from '../../oracle/ledgers/settle.js';
import { auditTornDown } from '../../oracle/rules/torn-down.js';
import { resolveKernel } from '../machine/kernel.js';
import type { Plan } from '../../plan/plan.js';
import { levelOf, oracleOptions } from '../machine/probes.js';
import { tearDown } from '../machine/teardown.js';
import type { Audit } from './run.js';

/** What a run on real threads is started with (ThreadOptions), so that its oracles work at the plan's level. */
interface RunOracles {
  readonly ledgers: ((worker: number) => SharedArrayBuffer) | null;
  readonly sharedPins: SharedArrayBuffer | null;
  readonly audit: Audit;
}

/** The oracles of a run of `plan` on `m`: memory where the plan's level needs it, and audits, the last with the teardown. */
export function runOracles(m: Machine, plan: Plan): RunOracles {
  const all = levelOf(plan) === 'all';
  const sharedPins = all ? new SharedArrayBuffer(sharedPinBytes(m)) : null;
  const options = oracleOptions(plan, 'threads', sharedPins);
  /** Pins that were taken before actors changed workers. */
  let settled: SharedArrayBuffer | null = null;
  const audit: Audit = (machine, _plan, where, ledgers) => {
    const own = ledgers.filter((ledger) => ledger !== null);
    const found = auditAll(machine, options, settled === null ? own : [...own, settled]);
    if (where === 'move' && own.length > 0) {
      settled ??= new SharedArrayBuffer(ledgerBytes(machine));
      settlePins(machine, own, settled);
    }
    return where === 'end' ? [...found, ...endRun(machine, plan)] : found;
  };
  return { ledgers: all ? () => new SharedArrayBuffer(ledgerBytes(m)) : null, sharedPins, audit };
}

/** Guest pages that are not the VMM's any more: what policy (c) gives up by design, so counted and no violation. */
function divergedPages(m: Machine): number {
  let pages = 0;
  for (let vm = 0; vm < m.vms; vm++) {
    if (m.words[vmWord(m, vm, VM_STATE)] === VM_STATE_LIVE) pages += countDivergences(m, vm);
  }
  return pages;
}

/** All actors have returned: VMs and processes go, and nothing may be left of them. Returns what was. */
function endRun(m: Machine, plan: Plan): Violation[] {
  // the workers' ledgers hold what is given back now, another probe's do not: the local oracles watch
  const level = plan.oracles === 'off' ? 'off' : 'local';
  countStat(m, 0, STAT.divergences, divergedPages(m));
  const probe = createOracle(m, { ...oracleOptions(plan, 'threads'), level }, null);
  tearDown(m, plan, resolveKernel(plan.kernel), probe);
  return level === 'off' ? [] : [...probe.violations, ...auditTornDown(m)];
}
