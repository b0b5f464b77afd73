/** What a policy is: one of the thread's designs (kernel-model 5) as a small record of replaced kernel functions. */
import type { Kernel } from '../machine/context.js';

/** What a policy promises of a guest's stage 2. */
export interface GuestClaims {
  /** Notifiers reach stage 2, so that I-STALE and I-PERM hold. False under pkvm-2022: divergence is counted instead. */
  readonly stage2FollowsHost: boolean;
  /**
   * I-PINNED-S2: whose pins keep a stage-2 entry in place. `none`: removals are counted only; `mapping`: the pin that the
   * mapping itself holds (c); `longterm`: any FOLL_LONGTERM pin of a page that is mapped at stage 2 (d, e).
   */
  readonly pinnedKeepsStage2: 'none' | 'mapping' | 'longterm';
}

/** What a policy promises, so that oracles judge it by its own claims and count the rest. */
export interface Claims extends GuestClaims {
  /** What it promises of protected guests, where it serves them otherwise than the rest. */
  readonly protectedGuests?: GuestClaims;
  /** For `longterm`: the mechanisms (MECH_*) that look at pins before they announce. Absent: NUMA scan and KSM. */
  readonly keepsStage2Against?: readonly number[];
  /** The stage-2 fault handler takes a long-term pin of its own. */
  readonly mappingPins: boolean;
  /** EL2 owns stage 2: host stage-2 faults, ownership and memcaches exist. */
  readonly el2: boolean;
}

export interface Policy {
  readonly id: string;
  /** One line for `pinfall list`. */
  readonly title: string;
  /** The functions it replaces in the base kernel. */
  readonly replace: Partial<Omit<Kernel, 'id'>>;
  readonly claims: Claims;
}
