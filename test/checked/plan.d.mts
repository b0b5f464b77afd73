/** A plan (src/plan/plan.ts) as plain data. */
export function smallPlan(policy: string, seed: number, variant?: string, oracles?: string): object;
