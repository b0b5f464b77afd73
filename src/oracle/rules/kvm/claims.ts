/** What a policy promises of one VM: a protected guest may be served otherwise than the rest. */
import { type Machine, VM_PROTECTED, vmWord } from '../../../machine/layout.js';
import type { Claims, GuestClaims } from '../../../policies/policy.js';
import { look as peek } from '#words';

/** The claims about the stage 2 of `vm`. */
export function claimsOfVm(m: Machine, claims: Claims, vm: number): GuestClaims {
  const { protectedGuests } = claims;
  if (protectedGuests === undefined) return claims;
  return peek(m.words, vmWord(m, vm, VM_PROTECTED)) === 0 ? claims : protectedGuests;
}
