/** A part of an exhaustive search on a worker thread: a short Piscina task. */
import { type PartResult, PartRunner, type SearchPart } from '../../engine/exhaustive/split.js';
import { Found, type FoundPart } from './prove-found.js';
import { subjectFrom } from './subject.js';
import type { SubjectDescription } from './explored.js';

export interface ProveTask {
  /** One number per search of the process. */
  readonly search: number;
  readonly subject: SubjectDescription;
  readonly stepsMax: number;
  readonly part: SearchPart;
  /** Milliseconds after which the rest is handed back. */
  readonly ms: number;
  /** Word 0: not 0 = at once. */
  readonly control: SharedArrayBuffer;
}

export interface ProveTaskResult {
  readonly result: PartResult;
  readonly found: FoundPart;
}

/** The search that this worker had a part of last; its program stays. */
let known: { readonly search: number; readonly worker: Promise<ProveWorker> } | null = null;

class ProveWorker {
  readonly runner: PartRunner;
  found = new Found();

  constructor(...[program, options]: ConstructorParameters<typeof PartRunner>) {
    this.runner = new PartRunner(program, { ...options, onExecution: (...each) => this.found.add(...each) });
  }
}

async function makeWorker({ subject, stepsMax }: ProveTask): Promise<ProveWorker> {
  return new ProveWorker((await subjectFrom(subject)).create(), { stepsMax });
}

export default async function proveTask(order: ProveTask): Promise<ProveTaskResult> {
  const { search, part, ms } = order;
  if (known?.search !== search) known = { search, worker: makeWorker(order) };
  const worker = await known.worker;
  const control = new Int32Array(order.control);
  worker.found = new Found();
  const result = worker.runner.run(part, { ms, stop: () => Atomics.load(control, 0) !== 0 });
  return { result, found: worker.found.toPart() };
}
