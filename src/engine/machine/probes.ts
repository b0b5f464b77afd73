/**
 * The probe of a run's workers, and what its oracles are told: from the plan and its kernel's promises. Workers load this file
 * (threads.ts, DEFAULT_MODULES), or its copy beside the kernel's blocking form.
 */
import type { Machine } from '../../machine/layout.js';
import { type OracleOptions, type OracleProbe, createProbe as createOracle } from '../../oracle/index.js';
import { claimsOf, pinKeepsPlace, resolveKernel } from './kernel.js';
import type { Plan } from '../../plan/plan.js';

/** A claim about everybody's pins can be judged only by who knows everybody's pins. */
export function levelOf(plan: Plan): OracleOptions['level'] {
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
  sharedSteps: SharedArrayBuffer | null = null,
): OracleProbe => createOracle(m, { ...oracleOptions(plan, mode, sharedPins), sharedSteps }, ledger);
