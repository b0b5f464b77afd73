/** What the dashboard needs of a run: `Simulation` has it, and tests have small ones of their own. */
import type { Observable } from 'rxjs';
import type {
  ActorNow,
  KnobInfo,
  MoveResult,
  NearMiss,
  PageEvent,
  PageInfo,
  Placement,
  PlacementScheme,
  RaceCounts,
  RunState,
  StepInfo,
} from '../../lab/live/types.js';
import type { EvidenceLog } from '../../lab/handover/incident/evidence.js';
import type { Simulation } from '../../lab/run/simulation.js';
import type { RingNow } from '../protocol.js';

type Base = Pick<
  Simulation,
  | 'plan'
  | 'actorNames'
  | 'metrics$'
  | 'violations$'
  | 'ended'
  | 'scenarioOver'
  | 'elapsedSeconds'
  | 'setKnob'
  | 'pause'
  | 'resume'
  | 'audit'
  | 'stop'
  | 'reportSoFar'
>;

/** Live methods; a run without one of them has its panel say so. */
interface Live {
  readonly state: RunState;
  /** What the explorer is given of a violation. */
  readonly evidence: Pick<EvidenceLog, 'of'>;
  readonly nearMisses$: Observable<NearMiss>;
  placement(): Placement;
  moveActor(name: string, worker: number): Promise<MoveResult>;
  setWorkers(count: number, scheme?: PlacementScheme): Promise<MoveResult>;
  step(actor: string): Promise<StepInfo>;
  stepMode(on: boolean): Promise<void>;
  knobs(): readonly KnobInfo[];
  actors(): readonly ActorNow[];
  memoryMap(vm: number): Uint8Array;
  page(vm: number, gfn: number): PageInfo;
  pageHistory(vm: number, gfn: number): readonly PageEvent[];
  races(): RaceCounts;
  ringFill(): readonly RingNow[];
  latencyCounts(): readonly (readonly number[])[];
}

export type Watched = Base & Partial<Live>;
