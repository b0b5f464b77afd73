/** Races: violations and near-misses as diagrams, newest first, filtered by kind and mechanism. */
import type { RaceKind, RaceMessage, ScheduleMessage } from '../protocol.js';
import { type App, oncePerFrame } from './app.js';
import { byId, h, heading, setText } from './dom.js';
import { clock, whole } from './format.js';

/** Diagrams kept: of violations, and of near-misses. */
const KEPT = 100;

const KINDS: readonly (readonly [RaceKind, string])[] = [
  ['violation', 'violations'],
  ['pinned_unmap', 'pinned unmapped'],
  ['retry_saved', 'retries'],
  ['back_out', 'back-outs'],
];

export class RacesPanel {
  readonly #app: App;
  readonly #list = h('ol', { class: 'race-list' });
  readonly #mechanism = h('select', { id: 'race-mechanism' }, h('option', { value: '' }, 'all mechanisms'));
  readonly #follow = h('input', { type: 'checkbox', checked: true, id: 'race-follow' });
  readonly #newer = h('button', { type: 'button', class: 'newer', hidden: true });
  readonly #empty = h('p', { class: 'calm' }, 'Nothing yet: no violation, no near-miss.');
  readonly #kinds = new Set<RaceKind>(KINDS.map(([kind]) => kind));
  readonly #counts = h('span', { class: 'muted num', id: 'race-counts' });
  readonly #showSoon = oncePerFrame(() => this.#showNewest());
  /** What the explorer has made of a run's first violation of each invariant: the newest word. */
  readonly #schedules = new Map<string, ScheduleMessage>();
  #races: RaceMessage[] = [];
  #waiting: RaceMessage[] = [];

  constructor(app: App) {
    this.#app = app;
    const kinds = KINDS.map(([kind, label]) => {
      const box = h('input', { type: 'checkbox', checked: true, 'data-kind': kind });
      box.addEventListener('change', () => {
        if (box.checked) this.#kinds.add(kind);
        else this.#kinds.delete(kind);
        this.#filter();
      });
      return h('label', {}, box, label);
    });
    const clear = h('button', { type: 'button', class: 'quiet' }, 'clear');
    clear.addEventListener('click', () => this.#clear());
    byId('races').append(
      heading('races', 'Races', this.#counts),
      h(
        'div',
        { class: 'row' },
        h('label', {}, h('span', { class: 'sr-only' }, 'Mechanism '), this.#mechanism),
        ...kinds,
        h('label', { title: 'New ones appear by themselves; opening a diagram stops that.' }, this.#follow, 'follow'),
        this.#newer,
        clear,
      ),
      this.#empty,
      this.#list,
    );
    app.on('run', () => this.#forget());
    this.#mechanism.addEventListener('change', () => this.#filter());
    this.#follow.addEventListener('change', () => this.#release());
    this.#newer.addEventListener('click', () => {
      this.#follow.checked = true;
      this.#release();
    });
    app.on('hello', ({ mechanisms }) => {
      if (this.#mechanism.options.length > 1) return;
      this.#mechanism.append(...mechanisms.map((name) => h('option', { value: name }, name)));
    });
    app.on('race', (race) => this.#take(race));
    app.on('schedule', (message) => this.#schedule(message));
    app.on('metrics', ({ nearMisses, violations }) => {
      const sum = Object.values(nearMisses).reduce((all, count) => all + count, 0);
      setText(
        this.#counts,
        `${whole(violations)} ${violations === 1 ? 'violation' : 'violations'}, ${whole(sum)} ${sum === 1 ? 'near-miss' : 'near-misses'}`,
      );
    });
    window.addEventListener('hashchange', () => this.#open());
  }

  #take(race: RaceMessage): void {
    if (this.#follow.checked || race.kind === 'violation') this.#add(race);
    else {
      this.#waiting.push(race);
      if (this.#waiting.length > KEPT) this.#waiting.shift();
      this.#newer.hidden = false;
      setText(this.#newer, `${this.#waiting.length}${this.#waiting.length === KEPT ? ' or more' : ''} newer`);
    }
  }

  #release(): void {
    if (!this.#follow.checked) return;
    for (const race of this.#waiting) this.#add(race);
    this.#waiting = [];
    this.#newer.hidden = true;
  }

  #add(race: RaceMessage): void {
    this.#races.unshift(race);
    const item = this.#item(race);
    item.hidden = !this.#fits(race);
    this.#list.prepend(item);
    // those that go are of the same kind as the one that came: many near-misses push no violation out
    const isViolation = race.kind === 'violation';
    const alike = this.#races.filter((each) => (each.kind === 'violation') === isViolation);
    const last = alike.at(-1);
    if (alike.length > KEPT && last !== undefined) {
      this.#races = this.#races.filter((each) => each !== last);
      document.getElementById(`race-${last.id}`)?.remove();
    }
    this.#showSoon();
  }

  /** While one follows, the newest diagram is open and no other. */
  #showNewest(): void {
    let first = true;
    for (const item of this.#list.children) {
      const details = item.querySelector('details');
      if (details === null || (item as HTMLElement).hidden) continue;
      if (this.#follow.checked) details.open = first;
      first = false;
    }
    this.#empty.hidden = !first;
    setText(
      this.#empty,
      this.#races.length === 0 ? 'Nothing yet: no violation, no near-miss.' : 'Nothing of this kind.',
    );
  }

  #item(race: RaceMessage): HTMLElement {
    const copy = h('button', { type: 'button', class: 'quiet' }, 'copy');
    copy.addEventListener('click', () => {
      navigator.clipboard.writeText(race.diagram).then(
        () => this.#app.say('copied'),
        () => this.#app.say('the browser does not let this page copy', false),
      );
    });
    const count = race.count > 1 ? ` #${whole(race.count)}` : '';
    const label = KINDS.find(([kind]) => kind === race.kind)?.[1] ?? race.kind;
    const summary = h(
      'summary',
      {},
      h(
        'span',
        { class: `badge ${race.kind}`, title: label },
        race.kind === 'violation' ? race.title : race.title + count,
      ),
      h('span', { class: 'race-what' }, race.what),
      h('span', { class: 'tags' }, ...race.mechanisms.map((name) => h('span', { class: 'tag' }, name))),
      h('time', { class: 'num muted' }, clock(race.at_s)),
    );
    // opening one by hand means reading it
    summary.addEventListener('click', () => {
      this.#follow.checked = false;
    });
    const links = h('div', { class: 'race-links' }, copy);
    links.append(...this.#links(race));
    return h(
      'li',
      { id: `race-${race.id}`, 'data-kind': race.kind, 'data-mechanisms': race.mechanisms.join(' ') },
      h('details', {}, summary, h('pre', { tabindex: '0' }, ...marked(race.diagram)), links),
    );
  }

  /** A violation's way to its schedule, or what is known of one. */
  #links(race: RaceMessage): HTMLElement[] {
    if (race.kind !== 'violation') return [];
    const found = this.#schedules.get(`${race.run} ${race.title}`);
    const href = race.schedule === '' ? (found?.schedule ?? '') : race.schedule;
    if (href !== '') {
      const link = h('a', { href: href.replace(/^\//, ''), download: true }, 'schedule for pinfall replay');
      return race.schedule === '' && found !== undefined ? [link, muted(found.note)] : [link];
    }
    if (found?.status === 'searching') return [muted(`no schedule yet: ${found.note}`)];
    const byHand = `pinfall explore --policy ${this.#app.state?.policy ?? ''} --until ${race.title}`;
    return [muted(found === undefined ? `no schedule yet: ${byHand}` : `no schedule (${found.note}): ${byHand}`)];
  }

  /** All violations of that invariant, those that stand there and those to come, get its schedule. */
  #schedule(message: ScheduleMessage): void {
    this.#schedules.set(`${message.run} ${message.invariant}`, message);
    for (const race of this.#races) {
      if (race.kind !== 'violation' || race.run !== message.run || race.title !== message.invariant) continue;
      const links = document.querySelector(`#race-${race.id} .race-links`);
      while (links !== null && links.children.length > 1) links.lastElementChild?.remove();
      links?.append(...this.#links(race));
    }
  }

  #fits(race: RaceMessage): boolean {
    const mechanism = this.#mechanism.value;
    return this.#kinds.has(race.kind) && (mechanism === '' || race.mechanisms.includes(mechanism));
  }

  #filter(): void {
    for (const race of this.#races) {
      const item = document.getElementById(`race-${race.id}`);
      if (item !== null) item.hidden = !this.#fits(race);
    }
    this.#showNewest();
  }

  #open(): void {
    const details = location.hash.startsWith('#race-')
      ? document.getElementById(location.hash.slice(1))?.querySelector('details')
      : null;
    if (details === null || details === undefined) return;
    this.#follow.checked = false;
    details.open = true;
  }

  /** Another run: nothing of the one before is shown. */
  #forget(): void {
    this.#schedules.clear();
    this.#clear();
  }

  #clear(): void {
    this.#races = [];
    this.#waiting = [];
    this.#newer.hidden = true;
    this.#list.replaceChildren();
    this.#showNewest();
  }
}

const muted = (text: string): HTMLElement => h('span', { class: 'muted' }, text);

/** A diagram's text, with what it points at and its verdict in bold. */
function marked(diagram: string): (string | HTMLElement)[] {
  return diagram
    .trimEnd()
    .split(/(<-- .*|\*\*\* .*)/)
    .map((part) => (/^(<--|\*\*\*)/.test(part) ? h('strong', {}, part) : part));
}
