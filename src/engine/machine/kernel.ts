/** The base kernel record, v6.18, of the functions that mm, kvm and hyp list; and kernels by id: policies and planted bugs. */
import { SUBSCRIBER_DRIVER, SUBSCRIBER_KVM } from '../../machine/abi.js';
import { type Kernel, RULES_V6_18, type SubscriberOps } from '../../machine/context.js';
import { rulesOfVersion } from '../../machine/rules.js';
import { functionsOf } from '../../machine/kernel-record.js';
import { HYP_FUNCTIONS } from '../../hyp/functions.js';
import { KVM_FUNCTIONS } from '../../kvm/functions.js';
import { KVM_SUBSCRIBER } from '../../kvm/notifier.js';
import { DRIVER_SUBSCRIBER } from '../../mm/driver-subscriber.js';
import { MM_FUNCTIONS } from '../../mm/functions.js';
import { policyById } from '../../policies/index.js';
import type { Claims, Policy } from '../../policies/policy.js';
import { bugById } from '../../zoo/index.js';

const SUBSCRIBERS: (SubscriberOps | undefined)[] = [];
SUBSCRIBERS[SUBSCRIBER_KVM] = KVM_SUBSCRIBER;
SUBSCRIBERS[SUBSCRIBER_DRIVER] = DRIVER_SUBSCRIBER;

/** v6.18 as it is: nothing replaced. */
export const BASE_KERNEL: Kernel = {
  id: 'base',
  rules: RULES_V6_18,
  subscribers: SUBSCRIBERS,
  ...functionsOf(MM_FUNCTIONS),
  ...functionsOf(KVM_FUNCTIONS),
  ...functionsOf(HYP_FUNCTIONS),
};

/** What policies and planted bugs may replace: our name, and the kernel's file, function and release. */
export const KERNEL_FUNCTIONS = [MM_FUNCTIONS, KVM_FUNCTIONS, HYP_FUNCTIONS].flatMap((rows) =>
  Object.entries(rows).map(([name, row]) => ({
    name,
    file: row.file,
    function: row.name,
    release: row.release,
    doc: row.doc,
  })),
);

/** Policies and planted bugs by id. */
interface KernelKind {
  readonly policy: Policy;
  readonly replace: Policy['replace'];
}

/** An id may name a release behind an `@`: `classic@v5.17`. */
function kernelKind(fullId: string): KernelKind {
  const [id = '', version] = fullId.split('@');
  const { policy, replace } = kindOf(id);
  if (version === undefined) return { policy, replace };
  return { policy, replace: { ...replace, rules: rulesOfVersion(version, replace.rules ?? BASE_KERNEL.rules) } };
}

function kindOf(id: string): KernelKind {
  const policy = policyById(id);
  if (policy !== undefined) return { policy, replace: policy.replace };
  const bug = bugById(id);
  const host = bug === undefined ? undefined : policyById(bug.policy);
  if (bug === undefined || host === undefined) throw new RangeError(`no kernel '${id}'`);
  return { policy: host, replace: { ...host.replace, ...bug.replace } };
}

/**
 * The kernel of a policy or planted bug: the base record with its functions replaced. One object shape for all of them.
 * @throws RangeError when there is none of that id
 */
export function resolveKernel(id: string): Kernel {
  return { ...BASE_KERNEL, ...kernelKind(id).replace, id };
}

/** What the kernel of this id promises: oracles judge it by that. A planted bug promises what its policy does. */
export function claimsOf(id: string): Claims {
  return kernelKind(id).policy.claims;
}

/**
 * Whether a pinned page must stay where its process has it (I-PIN, v5.19+). A bug that brings back older rules is judged by
 * what the kernel promises that it is planted in.
 */
export function pinKeepsPlace(id: string): boolean {
  const rules = id.includes('@') ? resolveKernel(id).rules : (kernelKind(id).policy.replace.rules ?? BASE_KERNEL.rules);
  return rules.wpReuse === 'v5.19';
}
