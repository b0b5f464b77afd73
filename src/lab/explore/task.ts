/** A range of a campaign's schedules on a worker thread: a short Piscina task. */
import { type CampaignSpec, RangeRunner } from '../../engine/campaign/runner.js';
import type { RangeResult, RangeTask } from '../../engine/campaign/range.js';
import { subjectFrom } from './subject.js';
import type { SubjectDescription } from './explored.js';
import { classify } from './classify.js';

export interface ExploreTask {
  /** One number per campaign of the process. */
  readonly campaign: number;
  readonly subject: SubjectDescription;
  readonly spec: CampaignSpec;
  readonly task: RangeTask;
  /** Word 0: not 0 = ranges end early. */
  readonly control: SharedArrayBuffer;
}

/** The campaign that this worker ran last; its program stays from range to range. */
let known: { readonly campaign: number; readonly runner: Promise<RangeRunner> } | null = null;

async function makeRunner({ subject, spec }: ExploreTask): Promise<RangeRunner> {
  return new RangeRunner((await subjectFrom(subject)).create(), spec, classify);
}

export default async function exploreTask(order: ExploreTask): Promise<RangeResult> {
  if (known?.campaign !== order.campaign) known = { campaign: order.campaign, runner: makeRunner(order) };
  const control = new Int32Array(order.control);
  return (await known.runner).run(order.task, () => Atomics.load(control, 0) !== 0);
}
