/** The death of a worker, in words. */
import type { HostLink } from './host-link.js';
import { type ActorReport, describeActor } from '../machine/report-state.js';
import type { Death, EndState, RunPhase } from './run.js';

const WHEN: Readonly<Record<RunPhase, string>> = {
  start: ' while the run was set up',
  run: '',
  move: ' while actors changed workers',
  drain: ' while all actors came to rest',
  end: ' at the end of the run',
};

/** What is known of a host whose task failed with `error`; `actor` ran there. */
export function deathOf(host: HostLink, error: Error, phase: RunPhase, actor: ActorReport | null): Death {
  const { worker, threadId, lastWords } = host;
  return { worker, threadId, phase, actor, error: lastWords ?? `${error.name}: ${error.message}` };
}

/** How a run ended, what it was about, and one line of text. */
export type HowEnded = Pick<EndState, 'kind' | 'text' | 'hang' | 'death'>;

/** The end of a run that lost a worker. */
export function ofDeath(death: Death): HowEnded {
  const who = death.actor === null ? 'no actor was running' : describeActor(death.actor);
  const text = `worker ${death.worker} died${WHEN[death.phase]}: ${firstLine(death.error)}; ${who}`;
  return { kind: 'worker-died', text, hang: null, death };
}

const firstLine = (text: string): string => text.split('\n', 1)[0] as string;
