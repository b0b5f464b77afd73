/** The page: wires the stream to the panels, and keys to what they do. */
import 'uplot/dist/uPlot.min.css';
import { ActorsPanel } from './actors.js';
import { App } from './app.js';
import { Bar, PANELS } from './bar.js';
import { byId, h } from './dom.js';
import { KnobsPanel } from './knobs.js';
import { adoptMechanismColours } from './mechanism-colours.js';
import { MemoryPanel } from './memory.js';
import { NowPanel } from './now.js';
import { RacesPanel } from './races.js';
import { Stream } from './stream.js';
import { SweepPanel } from './sweep.js';

const KEYS: readonly (readonly [key: string, what: string])[] = [
  ['1 to 5', 'to a panel'],
  ['space', 'start, pause, resume'],
  ['.', 'single step of the chosen actor'],
  ['d', 'charts as tables, and back'],
  ['t', 'colours: auto, light, dark'],
  ['?', 'this help'],
];

adoptMechanismColours();
const app = new App();
const bar = new Bar(app);
const now = new NowPanel(app);
const panels = [
  new ActorsPanel(app),
  new MemoryPanel(app),
  new RacesPanel(app),
  new KnobsPanel(app),
  new SweepPanel(app),
];
let run = 0;
let asTables = false;

function newState(state: NonNullable<App['state']>): void {
  app.state = state;
  if (state.run !== run) {
    run = state.run;
    app.emit('run', run);
  }
  app.emit('state', state);
}

const stream = new Stream({
  hello(hello) {
    app.hello = hello;
    app.emit('hello', hello);
    newState(hello.state);
  },
  // of a run before the one that runs: a new page gets what the server has kept, and shows what is
  state: (state) => {
    if (state.run >= run) newState(state);
  },
  metrics: (message) => {
    if (message.run === run) app.emit('metrics', message);
  },
  actors: (message) => {
    if (message.run === run) app.emit('actors', message);
  },
  memory: (message) => {
    if (message.run === run) app.emit('memory', message);
  },
  race: (message) => {
    if (message.run === run) app.emit('race', message);
  },
  schedule: (message) => {
    if (message.run === run) app.emit('schedule', message);
  },
  gap(missed) {
    bar.gap(missed);
    app.emit('gap', missed);
    // another server's run, whatever its number
    if (missed < 0) app.emit('run', run);
  },
  connection: (state, since) => bar.connection(state, since),
});

function typing(target: EventTarget | null): boolean {
  return target instanceof Element && target.closest('input, select, textarea, [role=application], dialog') !== null;
}

document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
  const panel = PANELS[Number(event.key) - 1];
  if (panel !== undefined) {
    byId(panel).focus({ preventScroll: true });
    byId(panel).scrollIntoView();
  } else if (
    event.key === ' ' &&
    !(event.target instanceof Element && event.target.closest('button, summary, a') !== null)
  )
    bar.controls.toggle();
  else if (event.key === '.') byId('knobs-step').click();
  else if (event.key === 't') bar.nextTheme();
  else if (event.key === 'd') now.showTables((asTables = !asTables));
  else if (event.key === '?') (byId('help') as HTMLDialogElement).showModal();
  else return;
  event.preventDefault();
});

const close = h('button', { type: 'button' }, 'close');
close.addEventListener('click', () => (byId('help') as HTMLDialogElement).close());
byId('help').append(
  h('h2', { id: 'help-title' }, 'Keys'),
  h('dl', {}, ...KEYS.flatMap(([key, what]) => [h('dt', {}, h('kbd', {}, key)), h('dd', {}, what)])),
  h(
    'p',
    { class: 'muted' },
    'The same figures for programs: ',
    h('a', { href: 'metrics' }, '/metrics'),
    ' (Prometheus), ',
    h('a', { href: 'api/report' }, '/api/report'),
    ' (the report so far).',
  ),
  close,
);

// for tests: what has arrived, and how much is kept
Object.assign(window, { pinfall: { app, stream, panels: panels.length } });
