/** The part of a plan that litmus columns are: who does which operation, with what. */

/** Who does an operation: a process, a VM and its vCPU; -1 = none. */
export interface LitmusTask {
  readonly mm: number;
  readonly vm: number;
  readonly vcpu: number;
}

/** One operation: a row of LITMUS_OPERATIONS (actors/litmus/operations.ts) with its arguments as numbers. */
export interface LitmusCall {
  readonly op: number;
  readonly args: readonly number[];
  /** The register that gets the result, or -1. */
  readonly result: number;
}

/** The part of a plan that litmus actors read. */
export interface LitmusColumns {
  /** By actor. */
  readonly columns: readonly { readonly task: LitmusTask; readonly calls: readonly LitmusCall[] }[];
  /** Fault injection by actor: the n-th allocation that fails, 0 = none. */
  readonly failAllocation: readonly number[];
}
