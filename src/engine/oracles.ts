/**
 * The oracles of a run on real threads: the probe of each worker, what workers keep in shared memory, the audits while all
 * actors stand still, and the teardown at the end. What an oracle is told comes from the plan and its kernel's promises.
 * Workers load this file (threads.ts, DEFAULT_MODULES).
 */
import { VM_STATE_LIVE } from '../machine/abi.js';
import { VM_STATE, vmWord } from '../machine/layout.js';
import { STAT, countStat } from '../machine/stats.js';
import { countDivergences } from '../kvm/divergence.js';
import type { Machine } from '../machine/layout.js';
import {
  type OracleOptions,
  type OracleProbe,
  type Violation,
  auditAll,
  createProbe as createOracle,
  ledgerBytes,
  sharedPinBytes,
} from '../oracle/index.js';
import { settlePins } from '../oracle/settle.js';
import { auditTornDown } from '../oracle/torn-down.js';
import { claimsOf, pinKeepsPlace, resolveKernel } from './kernel.js';
import type { Plan } from './plan.js';
import { tearDown } from './teardown.js';
import type { Audit } from './threads.js';

/** A claim about everybody's pins can be judged only by who knows everybody's pins. */
function levelOf(plan: Plan): OracleOptions['level'] {
  const aboutAllPins = claimsOf(plan.kernel).pinnedKeepsStage2 === 'longterm';
  return plan.oracles === 'local' && aboutAllPins ? 'all' : plan.oracles;
}

/** What the oracles of `plan` are told. */
export function oracleOptions(
  plan: Plan,
  mode: 'threads' | 'one',
  sharedPins: SharedArrayBuffer | null = null,
): OracleOptions {
  return {
    level: levelOf(plan),
    claims: claimsOf(plan.kernel),
    mode,
    actors: plan.actors.length,
    keepsExclusiveBit: resolveKernel(plan.kernel).rules.wpReuse === 'v5.19',
    pinKeepsPlace: pinKeepsPlace(plan.kernel),
    sharedPins,
    lockEvents: plan.lockEvents === true,
  };
}

/** The probe of one worker. */
export const createProbe = (
  m: Machine,
  plan: Plan,
  mode: 'threads' | 'one',
  ledger: SharedArrayBuffer | null,
  sharedPins: SharedArrayBuffer | null = null,
): OracleProbe => createOracle(m, oracleOptions(plan, mode, sharedPins), ledger);

/** What a run on real threads is started with (ThreadOptions), so that its oracles work at the plan's level. */
export interface RunOracles {
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
