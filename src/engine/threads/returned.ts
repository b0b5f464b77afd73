/** Which actors have come to their ends by themselves, and what follows from that. */
import type { Plan } from '../../plan/plan.js';

export class ReturnedActors {
  /** Resolves when every client has returned, or nobody is waited for any more. */
  readonly clientsDone: Promise<void>;
  /** Resolves with the actors that are left when there is nobody left to race with: one daemon, or none. */
  readonly scenarioOver: Promise<readonly number[]>;
  readonly #plan: Plan;
  readonly #returned = new Set<number>();
  #resolveClients!: () => void;
  #resolveOver!: (left: readonly number[]) => void;

  constructor(plan: Plan) {
    this.#plan = plan;
    this.clientsDone = new Promise((resolve) => (this.#resolveClients = resolve));
    this.scenarioOver = new Promise((resolve) => (this.#resolveOver = resolve));
  }

  /** @param asked everybody has been told to return: that they do says nothing */
  add(actor: number, asked: boolean): void {
    this.#returned.add(actor);
    const left = this.#plan.actors.flatMap(({ tier }, index) =>
      tier === 'server' || this.#returned.has(index) ? [] : [index],
    );
    if (left.some((index) => this.#plan.actors[index]?.tier === 'client')) return;
    this.#resolveClients();
    if (!asked && left.length <= 1) this.#resolveOver(left);
  }

  /** It starts afresh. */
  delete(actor: number): void {
    this.#returned.delete(actor);
  }

  /** The run is over. */
  close(): void {
    this.#resolveClients();
  }
}
