/** The actors as their records in shared memory show them: looks in passing, nobody is stopped or asked. */
import type { Plan } from '../../plan/plan.js';
import { type ActorReport, actorReports } from '../../engine/machine/report-state.js';
import { type WaitsForEdge, waitsFor } from '../../engine/machine/waits-for.js';
import { recordActor, recordTime } from '../../events/record.js';
import { lastRecords } from '../../events/ring-history.js';
import type { Machine } from '../../machine/layout.js';
import { phraseOf } from '../../trace/text.js';
import type { ActorNow, ActorWait, WorkerForm } from './types.js';

/** Newest events of each worker that are looked through for what its actors do. */
const RECENT_RECORDS = 128;

/** Standing still for less is no news: there may be more workers than cores. */
const STUCK_MS = 100;

/** What the records do not say. */
interface LaneSource {
  readonly rings: readonly SharedArrayBuffer[];
  /** Milliseconds since the first step. */
  readonly elapsedMs: number;
  readonly paused: boolean;
  alive(worker: number): boolean;
  formOf(actor: number): WorkerForm;
}

/** What an actor waits for, as a page shows it. */
export const waitOfEdge = (edge: WaitsForEdge): ActorWait => ({
  what: edge.what,
  lock: edge.lock,
  idle: edge.idle,
  holders: edge.holders.map(({ name, mode }) => ({ name, mode })),
});

/** What each actor did last, in words; undefined where no event of it stands in a ring. */
function lastPhrases(rings: readonly SharedArrayBuffer[], actors: number): (string | undefined)[] {
  const phrases: (string | undefined)[] = Array.from({ length: actors });
  const times = new Float64Array(actors).fill(-1);
  for (const ring of rings) {
    const records = lastRecords(ring, RECENT_RECORDS);
    for (let i = records.length / 8 - 1; i >= 0; i--) {
      const actor = recordActor(records, i);
      const time = recordTime(records, i);
      if (actor >= actors || time <= (times[actor] as number)) continue;
      times[actor] = time;
      const { text, note } = phraseOf(records, i);
      phrases[actor] = note === '' ? text : `${text}  <-- ${note}`;
    }
  }
  return phrases;
}

/** Looks at the actors again and again, so that it knows since when one has stood still. */
export class Lanes {
  readonly #m: Machine;
  readonly #plan: Plan;
  readonly #source: LaneSource;
  readonly #moves: Float64Array;
  /** When they were last seen to have changed; -1 = not seen yet. */
  readonly #movedMs: Float64Array;

  constructor(m: Machine, plan: Plan, source: LaneSource) {
    this.#m = m;
    this.#plan = plan;
    this.#source = source;
    this.#moves = new Float64Array(plan.actors.length).fill(-1);
    this.#movedMs = new Float64Array(plan.actors.length).fill(-1);
  }

  look(): ActorNow[] {
    const phrases = lastPhrases(this.#source.rings, this.#plan.actors.length);
    const edges = new Map(waitsFor(this.#m, this.#plan).edges.map((edge) => [edge.actor, edge]));
    return actorReports(this.#m, this.#plan).map((report, actor) => {
      const edge = edges.get(actor);
      const spec = this.#plan.actors[actor];
      return {
        name: report.name,
        kind: report.kind,
        tier: spec?.tier ?? 'client',
        worker: report.worker,
        form: this.#source.formOf(actor),
        alive: this.#source.alive(report.worker),
        state: report.state,
        doing: phrases[actor] ?? (report.steps === 0 ? '' : report.last),
        waits: edge === undefined || edge.changed ? null : waitOfEdge(edge),
        held: report.held.map(({ name, mode }) => ({ name, mode })),
        steps: report.steps,
        progress: report.progress,
        retries: report.retries,
        stuckSinceMs: this.#stuckSince(actor, report),
      };
    });
  }

  #stuckSince(actor: number, report: ActorReport): number | null {
    const moves = report.steps + report.progress;
    const resting = !['runnable', 'blocked', 'threw'].includes(report.state);
    if (moves !== this.#moves[actor] || resting || this.#source.paused) {
      this.#moves[actor] = moves;
      this.#movedMs[actor] = this.#source.elapsedMs;
      return null;
    }
    const since = this.#movedMs[actor] as number;
    return this.#source.elapsedMs - since < STUCK_MS ? null : since;
  }
}
