/** Actors: a lane each. What it did for the last minute, what it does now, what it waits for and who holds that. */
import type { ActorNow } from '../../lab/live/types.js';
import type { ActorsMessage } from '../protocol.js';
import { type App, watchVisible } from './app.js';
import { byId, colour, h, heading, setText } from './dom.js';
import { whole } from './format.js';

/** Samples of a lane: a minute at four a second. */
const SAMPLES = 240;
const STRIP_HEIGHT = 14;

/** What a lane's sample says: index into COLOURS; 0 = nothing known. */
const LOOKS = ['unknown', 'works', 'waits', 'idle', 'gone', 'stuck'] as const;
type Look = (typeof LOOKS)[number];

/** An actor that has not moved for so long, while it should, is shown as stuck. */
const STUCK_MS = 2000;

function lookOf(actor: ActorNow, stillMs: number): Look {
  if (!actor.alive || actor.state === 'threw' || stillMs > STUCK_MS) return 'stuck';
  if (actor.state === 'returned' || actor.state === 'absent') return 'gone';
  if (actor.state === 'idle' || actor.state === 'asleep') return 'idle';
  return actor.state === 'blocked' ? 'waits' : 'works';
}

interface Lane {
  readonly element: HTMLElement;
  readonly state: HTMLElement;
  readonly place: HTMLElement;
  readonly strip: HTMLCanvasElement;
  readonly shares: HTMLElement;
  readonly doing: HTMLElement;
  readonly waits: HTMLElement;
  readonly samples: Uint8Array;
}

export class ActorsPanel {
  readonly #app: App;
  readonly #lanes = h('ol', { class: 'lanes' });
  readonly #alarm = h('p', { class: 'alarm', role: 'alert', hidden: true });
  readonly #byName = new Map<string, Lane>();
  readonly #visible: () => boolean;
  #run = 0;
  #at = 0;
  #lastAt = 0;

  constructor(app: App) {
    this.#app = app;
    const legend = h('span', { class: 'legend' });
    for (const look of ['works', 'waits', 'idle', 'stuck'] as const) {
      const swatch = h('i', { class: 'swatch' });
      swatch.style.background = `var(--look-${look})`;
      legend.append(h('span', {}, swatch, look === 'stuck' ? 'dead or stuck' : look));
    }
    byId('actors').append(heading('actors', 'Actors', legend), this.#alarm, this.#lanes);
    this.#visible = watchVisible(this.#lanes, () => this.#drawStrips());
    app.on('actors', (message) => this.#take(message));
    app.on('run', () => this.#reset());
    app.on('theme', () => this.#drawStrips());
  }

  #reset(): void {
    this.#byName.clear();
    this.#lanes.replaceChildren();
    this.#alarm.hidden = true;
  }

  #take(message: ActorsMessage): void {
    if (message.run !== this.#run) {
      this.#run = message.run;
      this.#reset();
    }
    // looks that did not come leave a hole as long as they were away
    const missed = Math.min(SAMPLES, Math.round(Math.max(0, message.at_s - this.#lastAt) * 4) - 1);
    this.#lastAt = message.at_s;
    for (let n = 0; n < missed && this.#byName.size > 0; n++) this.#advance();
    this.#advance();
    const bad: string[] = [];
    for (const actor of message.actors) {
      // who is paused stands still, and is well
      const running = this.#app.state?.status === 'running';
      const still = running && actor.stuckSinceMs !== null ? message.at_s * 1000 - actor.stuckSinceMs : 0;
      const look = lookOf(actor, still);
      const lane = this.#lane(actor);
      lane.samples[this.#at] = running || look === 'stuck' ? LOOKS.indexOf(look) : 0;
      if (look === 'stuck') bad.push(trouble(actor, still));
      if (this.#visible()) this.#draw(lane, actor, look, still);
    }
    this.#alarm.hidden = bad.length === 0;
    if (bad.length > 0) setText(this.#alarm, bad.join('; '));
    if (this.#visible()) this.#drawStrips();
  }

  #advance(): void {
    this.#at = (this.#at + 1) % SAMPLES;
    for (const lane of this.#byName.values()) lane.samples[this.#at] = 0;
  }

  #lane({ name, kind, tier }: ActorNow): Lane {
    const known = this.#byName.get(name);
    if (known !== undefined) return known;
    const strip = h('canvas', { width: SAMPLES, height: STRIP_HEIGHT, 'aria-hidden': 'true' });
    const lane: Lane = {
      element: h('li', { class: 'lane' }),
      state: h('span', { class: 'state' }),
      place: h('span', { class: 'place num' }),
      strip,
      shares: h('span', { class: 'shares num', title: 'of the last minute: works, waits, idle' }),
      doing: h('span', { class: 'doing' }),
      waits: h('span', { class: 'waits' }),
      samples: new Uint8Array(SAMPLES),
    };
    lane.element.append(
      h('span', { class: 'who', title: `${kind}, ${tier}` }, name),
      lane.state,
      lane.place,
      lane.strip,
      lane.shares,
      h('span', { class: 'what' }, lane.doing, lane.waits),
    );
    this.#byName.set(name, lane);
    this.#lanes.append(lane.element);
    return lane;
  }

  #draw(lane: Lane, actor: ActorNow, look: Look, still: number): void {
    lane.element.dataset['look'] = look;
    const stuck = `STUCK ${(still / 1000).toFixed(0)} s`;
    setText(lane.state, !actor.alive ? 'DEAD' : look === 'stuck' && still > 0 ? stuck : actor.state);
    setText(lane.place, `w${actor.worker}`);
    lane.place.title = `worker ${actor.worker}, ${actor.form}; ${whole(actor.steps)} steps, ${whole(actor.progress)} operations done, ${actor.retries} retries`;
    setText(lane.doing, actor.doing);
    lane.doing.title = actor.doing;
    const { waits, held } = actor;
    const holders = waits?.holders.map((holder) => `${holder.name}${holder.mode === 'read' ? ' (read)' : ''}`) ?? [];
    const waiting =
      waits === null
        ? ''
        : `${waits.idle ? 'idle until' : 'waits for'} ${waits.what}${holders.length > 0 ? `, held by ${holders.join(', ')}` : waits.lock ? ', held by nobody' : ''}`;
    const holding =
      held.length === 0
        ? ''
        : `holds ${held
            .slice(0, 3)
            .map((lock) => lock.name)
            .join(', ')}${held.length > 3 ? ` and ${held.length - 3} more` : ''}`;
    setText(lane.waits, [waiting, holding].filter((text) => text !== '').join('; '));
    lane.waits.classList.toggle('blocked', waits !== null && !waits.idle);
    const counts = [0, 0, 0, 0, 0, 0];
    for (const sample of lane.samples) counts[sample] = (counts[sample] ?? 0) + 1;
    const known = SAMPLES - (counts[0] ?? 0);
    setText(
      lane.shares,
      [counts[1], counts[2], counts[3]]
        .map((count) => `${Math.round(((count ?? 0) / Math.max(1, known)) * 100)} %`)
        .join(' / '),
    );
  }

  #drawStrips(): void {
    const colours = LOOKS.map((look) => (look === 'unknown' ? '' : colour(`--look-${look}`)));
    for (const { strip, samples } of this.#byName.values()) {
      const context = strip.getContext('2d');
      if (context === null) continue;
      context.clearRect(0, 0, SAMPLES, STRIP_HEIGHT);
      for (let x = 0; x < SAMPLES; x++) {
        const look = samples[(this.#at + 1 + x) % SAMPLES] as number;
        if (look === 0) continue;
        context.fillStyle = colours[look] as string;
        const height = LOOKS[look] === 'idle' || LOOKS[look] === 'gone' ? 4 : STRIP_HEIGHT;
        context.fillRect(x, STRIP_HEIGHT - height, 1, height);
      }
    }
  }
}

function trouble(actor: ActorNow, stillMs: number): string {
  if (!actor.alive) return `${actor.name}: its worker ${actor.worker} is dead`;
  if (actor.state === 'threw') return `${actor.name} threw`;
  return `${actor.name} has stood still for ${(stillMs / 1000).toFixed(1)} s`;
}
