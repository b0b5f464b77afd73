/** The bar at the top: what runs, whether the page hears it, the panels, the theme. */
import type { StateMessage } from '../protocol.js';
import type { App } from './app.js';
import { RunControls } from './controls.js';
import { byId, h, setText } from './dom.js';
import { whole } from './format.js';
import type { Connection } from './stream.js';

export const PANELS = ['now', 'actors', 'memory', 'races', 'knobs'] as const;
const THEMES = ['auto', 'light', 'dark'] as const;
const THEME_KEY = 'pinfall-theme';

export class Bar {
  readonly controls: RunControls;
  readonly #app: App;
  readonly #status = h('span', { id: 'status', class: 'pill' }, 'connecting');
  readonly #what = h('span', { class: 'what-runs num', id: 'what-runs' });
  readonly #connection = h('span', { id: 'connection', class: 'connection' }, 'connecting');
  readonly #theme = h('button', { type: 'button', class: 'quiet', id: 'theme' });
  #missed = 0;

  constructor(app: App) {
    this.#app = app;
    this.controls = new RunControls(app, 'bar');
    const tabs = h('nav', { 'aria-label': 'Panels' });
    PANELS.forEach((panel, index) => {
      const title = panel[0]?.toUpperCase() + panel.slice(1);
      tabs.append(h('a', { href: `#${panel}`, title: `key ${index + 1}` }, title));
    });
    const help = h('button', { type: 'button', class: 'quiet', id: 'help-button', 'aria-label': 'Help' }, '?');
    help.addEventListener('click', () => (byId('help') as HTMLDialogElement).showModal());
    byId('bar').append(
      h('strong', { class: 'brand' }, 'pinfall'),
      this.#status,
      this.#what,
      this.controls.element,
      tabs,
      h('span', { class: 'right' }, this.#connection, this.#theme, help),
    );
    this.#theme.addEventListener('click', () => this.nextTheme());
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => app.emit('theme', undefined));
    this.#setTheme(readTheme());
    app.on('state', (state) => this.#state(state));
  }

  connection(state: Connection, sinceMs: number): void {
    const text =
      state === 'live'
        ? 'live'
        : state === 'connecting'
          ? 'connecting'
          : `no word for ${(sinceMs / 1000).toFixed(0)} s`;
    setText(this.#connection, this.#missed > 0 ? `${text}, ${whole(this.#missed)} missed` : text);
    this.#connection.dataset['state'] = state;
  }

  /** Says that messages are missing, and goes on saying it in small. */
  gap(missed: number): void {
    if (missed > 0) this.#missed += missed;
    const banner = byId('banner');
    const what =
      missed < 0
        ? 'The server is another one than before: what happened in between is not known.'
        : `${whole(missed)} messages did not reach this page: charts have a hole there, races may be missing.`;
    const close = h('button', { type: 'button', class: 'quiet' }, 'dismiss');
    close.addEventListener('click', () => (banner.hidden = true));
    banner.replaceChildren(h('span', {}, what), close);
    banner.hidden = false;
    banner.dataset['missed'] = String(this.#missed);
  }

  nextTheme(): void {
    const next = THEMES[(THEMES.indexOf(readTheme()) + 1) % THEMES.length] ?? 'auto';
    try {
      localStorage.setItem(THEME_KEY, next);
    } catch {
      // not remembered
    }
    this.#setTheme(next);
    this.#app.emit('theme', undefined);
  }

  #setTheme(theme: (typeof THEMES)[number]): void {
    document.documentElement.dataset['theme'] = theme;
    setText(this.#theme, theme);
    this.#theme.setAttribute('aria-label', `Colours: ${theme}`);
  }

  #state(state: StateMessage): void {
    const { end } = state;
    const done = end?.kind === 'scenario-over';
    const badly = end !== null && !done && end.kind !== 'finished' && end.kind !== 'interrupted';
    setText(this.#status, badly ? end.kind : done ? 'done' : state.status);
    this.#status.dataset['status'] = end === null ? state.status : end.kind;
    this.#status.title = done ? state.note : (end?.detail ?? state.note);
    const trouble = byId('trouble');
    trouble.hidden = !badly;
    setText(trouble, badly ? `Run ${state.run} has ended: ${end.kind}. ${end.detail}` : '');
    const over = byId('over');
    over.hidden = !done;
    setText(over, done ? `This scenario is done. ${state.note}.` : '');
    setText(this.#what, `${state.scenario}  ${state.policy}  seed ${state.seed}  ${state.placement.workers} workers`);
    document.title = `pinfall: ${state.scenario}, ${state.status}`;
  }
}

function readTheme(): (typeof THEMES)[number] {
  try {
    const kept = localStorage.getItem(THEME_KEY);
    return THEMES.find((theme) => theme === kept) ?? 'auto';
  } catch {
    return 'auto';
  }
}
