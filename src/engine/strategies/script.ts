/**
 * Runs a recorded schedule again. Not in the registry: it needs the record.
 *
 * *Exact*: each step is the recorded actor's; where that one cannot run, the schedule ends there (`fits` is false), and after the
 * record it ends as well. *Guided*: a recorded actor that cannot run is passed over, and after the record the last actor
 * goes on while it can, then the first that can: so any list of choices is a whole schedule, which is what the minimiser needs.
 */
import type { ScheduleView, Strategy } from './strategy.js';

abstract class Script implements Strategy {
  abstract readonly name: string;
  readonly exhausted = false;
  /** Choices used up so far. */
  protected at = 0;
  protected choices: Uint8Array = new Uint8Array(0);
  protected length = 0;

  /** @param choices of which the first `length` count; not copied */
  load(choices: Uint8Array, length: number): this {
    this.choices = choices;
    this.length = length;
    return this;
  }

  begin(): boolean {
    this.at = 0;
    return true;
  }

  abstract pick(view: ScheduleView): number;

  end(): void {}

  guarantee(): string {
    return '';
  }
}

export class ExactScript extends Script {
  readonly name = 'replay';
  /** The actor that was recorded for the step that did not fit; -1 = the record was at its end. */
  wanted = -1;

  pick(view: ScheduleView): number {
    const wanted = this.at < this.length ? (this.choices[this.at] as number) : -1;
    this.wanted = wanted;
    this.at++;
    return isEnabled(view, wanted) ? wanted : -1;
  }
}

export class GuidedScript extends Script {
  readonly name = 'guided';

  pick(view: ScheduleView): number {
    while (this.at < this.length) {
      const wanted = this.choices[this.at++] as number;
      if (isEnabled(view, wanted)) return wanted;
    }
    return isEnabled(view, view.last) ? view.last : (view.enabled[0] as number);
  }
}

function isEnabled(view: ScheduleView, actor: number): boolean {
  for (let i = 0; i < view.enabledCount; i++) if (view.enabled[i] === actor) return true;
  return false;
}
