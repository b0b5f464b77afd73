/**
 * What a failing schedule comes down to, for reports and diagrams: the two steps that clash, how sure that is, and what order avoids it.
 * How they are found: clash/README.md.
 */
import type { ClashStep, Clash } from '../report/clash-row.js';
import type { OneThread, StepObserver } from '../../engine/one-thread/one-thread.js';
import type { StepTrace } from '../../engine/one-thread/races.js';
import { effectText } from '../../engine/one-thread/determinism-check.js';
import { ExactScript, GuidedScript } from '../../engine/strategies/script.js';
import { type Place, Positions } from '../../engine/machine/source-positions.js';
import type { DiagramMark } from '../../trace/diagram/model.js';
import { type Cause, findCause } from './cause.js';

/** As {@link findClash}; a report is printed with what there is, whatever goes wrong here. */
export function clashIfAny(thread: OneThread, variation: number, choices: Uint8Array): Clash | null {
  try {
    return findClash(thread, variation, choices);
  } catch {
    return null;
  }
}

const kernelName = (fn: string): string => fn.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** The two steps for the diagram, in the kernel's own names. */
export function clashMarks(clash: Clash | null, actors: readonly string[]): DiagramMark[] {
  if (clash === null) return [];
  return clash.steps.map((step, i) => markOf(step, actors, `step ${i + 1} of the clash`));
}

const ACCESSES: Readonly<Record<string, string>> = { hostAccess: 'user access', guestAccess: 'guest access' };

/** A step as two lines of a diagram: who calls, and below what is done there. */
function markOf({ actor, step, does, calls, found }: ClashStep, actors: readonly string[], note: string): DiagramMark {
  const caller = calls.at(-2);
  const own = calls.at(-1) ?? '';
  // what no function of the kernel does: the MMU
  const access = ACCESSES[own];
  return {
    time: step,
    actor: actors.indexOf(actor),
    inside: access !== undefined || caller === undefined ? '' : `${kernelName(caller)}()`,
    text: `${access ?? `${kernelName(own)}()`}: ${inDiagram(does)}${valueText(does, found)}`,
    note,
  };
}

/** `acquire PTL of table 0` as commit messages say it: `lock PTL`; entries as events name them: `PTE(0x1)`. */
const inDiagram = (does: string): string =>
  does
    .replace(/^acquire /, 'lock ')
    .replace(/^release /, 'unlock ')
    .replace(/^(lock|unlock) PTL of table \d+$/, '$1 PTL')
    .replace(/\b(PTE|PMD) of mm0 vpn (0x[0-9a-f]+)$/, '$1($2)');

/** A pin counts so much among the references of a small folio (GUP_PIN_COUNTING_BIAS). */
const PIN = 1024;

/** What a look found, where that can be said in a word: counts and sequences, and pins among references. */
function valueText(does: string, found: number): string {
  if (does.startsWith('read refs of pfn')) return `: ${found}, ${found < PIN ? 'not pinned' : 'pinned'}`;
  return /^read .*\b(?:pincount|maps|\w*seq|\w*count|swap_map|in_progress)\b/.test(does) ? `: ${found}` : '';
}

/**
 * Looks for the clash of a schedule that breaks a rule or ends in a deadlock.
 * @param thread what it holds of the last schedule is lost
 * @returns null when there is nothing that can be said
 */
export function findClash(thread: OneThread, variation: number, choices: Uint8Array): Clash | null {
  const cause = findCause(thread, variation, choices);
  if (cause === null) return null;
  const { trace } = cause.experiments;
  const steps = describeSteps(thread, variation, choices, trace, cause.steps);
  const outcome = outcomeOf(thread, variation, cause);
  return {
    steps,
    sure: cause.sure,
    depth: cause.depth,
    why: reasons(cause, thread),
    avoided: avoidance(steps, outcome),
  };
}

/** What the schedule with the two turned round comes to; empty where there is none. */
function outcomeOf(thread: OneThread, variation: number, { turned }: Cause): string {
  if (turned === null) return '';
  const script = new GuidedScript().load(turned, turned.length);
  script.begin();
  thread.run(script, variation);
  return thread.outcomeText;
}

function avoidance([first, second]: readonly [ClashStep, ClashStep], outcome: string): string {
  if (outcome !== '') {
    return `with ${nameStep(second)} before ${nameStep(first)} the same schedule ends well (${outcome})`;
  }
  const who =
    first.actor === second.actor ? `${first.actor} alone does it` : `${first.actor} and ${second.actor} do it`;
  return `no other order of these two ends well: ${who}, whatever the others do in between`;
}

const percent = (share: number): string => `${Math.round(share * 100)}%`;

/** What makes these two the cause. */
function reasons({ ranked, ranking, experiments, others }: Cause, { program }: OneThread): string[] {
  if (ranked === null || ranking === null) return ['no change of order that was tried avoids it'];
  const { trace } = experiments;
  const nameOf = (step: number): string => program.actors[trace.actors[step] as number] ?? '';
  const lines = ['with these two turned round, and all else as it was, the rule holds'];
  if (ranked.acted) {
    const [one, other] = [nameOf(ranked.first), nameOf(ranked.second)];
    lines.push(`it holds as well if ${other} comes only when ${one} has done what it had begun`);
  }
  const decided = [
    ...(ranked.firstDecides > 0 ? [ranked.first] : []),
    ...(ranked.secondDecides > 0 ? [ranked.second] : []),
  ];
  for (const step of decided) {
    lines.push(`what ${nameOf(step)} finds in step ${step + 1} decides what it does next`);
  }
  const { fails, wells } = ranking;
  lines.push(
    `of the schedules near this one, ${percent(ranked.failing)} of ${fails} that fail have this order, ${percent(ranked.well)} of ${wells} that end well`,
  );
  for (const { first, second } of others) {
    lines.push(`it also takes step ${first + 1} (${nameOf(first)}) before step ${second + 1} (${nameOf(second)})`);
  }
  return lines;
}

const nameStep = ({ actor, does, calls }: ClashStep): string => {
  const inside = calls.slice(-2).map((fn) => `${fn}()`);
  return inside.length === 0 ? `${actor}'s '${does}'` : `${actor}'s '${does}' in ${inside.join(' > ')}`;
};

/** Runs `choices` again and looks where the actors of two steps stand just before them. */
function describeSteps(
  thread: OneThread,
  variation: number,
  choices: Uint8Array,
  trace: StepTrace & { readonly before?: readonly number[]; readonly after?: readonly number[] },
  wanted: readonly [number, number],
): [ClashStep, ClashStep] {
  const { program } = thread;
  const places = new Map<number, Pick<ClashStep, 'at' | 'calls' | 'held'>>();
  const positions = new Positions();
  const look: StepObserver = {
    beforeStep(actor, _effect, step) {
      if (!wanted.includes(step - 1)) return;
      const calls = thread.calls(actor).map((call) => positions.placeOf(call));
      places.set(step - 1, {
        at: placeText(calls.at(-1)),
        calls: calls.map(({ fn }) => fn),
        held: program.heldLocks?.(actor) ?? [],
      });
    },
    afterStep() {},
  };
  const { observer } = thread;
  thread.observer = look;
  try {
    const script = new ExactScript().load(choices, choices.length);
    script.begin();
    thread.run(script, variation);
  } finally {
    thread.observer = observer;
    positions.close();
  }
  const step = (index: number): ClashStep => ({
    actor: program.actors[trace.actors[index] as number] ?? '',
    step: index + 1,
    does: effectText(thread, trace.effects[index] as number),
    found: trace.before?.[index] ?? 0,
    left: trace.after?.[index] ?? 0,
    ...(places.get(index) ?? { at: '', calls: [], held: [] }),
  });
  return [step(wanted[0]), step(wanted[1])];
}

function placeText(place: Place | undefined): string {
  if (place === undefined || place.file === '') return '';
  return `${place.fn} (${place.file}:${place.line})`;
}
