/** The actors by kind: what an engine starts for each row of a plan. */
import type { Context, Coroutine } from '../src/machine/context.js';
import { bench } from './bench.js';
import { dma } from './dma.js';
import { driver } from './driver.js';
import { el2 } from './el2.js';
import { khugepaged } from './khugepaged.js';
import { ksmd } from './ksmd.js';
import { kswapd } from './kswapd.js';
import type { LitmusColumns } from '../src/plan/litmus.js';
import { litmus } from './litmus/litmus.js';
import { numaBalancer } from './numa-balancer.js';
import { storeBuffer } from './store-buffer.js';
import type { ActorMain, ActorParams } from './types.js';
import { vcpu } from './vcpu.js';
import { vmm } from './vmm.js';

const MAINS: Readonly<Record<string, ActorMain>> = {
  vcpu,
  vmm,
  dma,
  driver,
  ksmd,
  khugepaged,
  kswapd,
  'numa-balancer': numaBalancer,
  el2,
  bench,
  'store-buffer': storeBuffer,
};

/** Starts an actor; `spec` is its row of the plan (an ActorSpec), `plan` the Plan. */
export type ActorKind = (
  ctx: Context,
  spec: { readonly params: ActorParams },
  plan: { readonly recording: SharedArrayBuffer | null; readonly litmus?: LitmusColumns },
) => Coroutine<void>;

export const ACTOR_KINDS: Readonly<Record<string, ActorKind>> = {
  ...Object.fromEntries(
    Object.entries(MAINS).map(([kind, main]): [string, ActorKind] => [
      kind,
      (ctx, spec, plan) => main(ctx, spec.params, plan.recording),
    ]),
  ),
  litmus: (ctx, spec, plan) => litmus(ctx, spec.params['column'] ?? 0, plan.litmus),
};
