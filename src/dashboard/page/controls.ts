/** Start, pause, single step, stop, audit: in the bar and among the knobs. */
import type { StateMessage } from '../protocol.js';
import type { App } from './app.js';
import { h, setText } from './dom.js';

/** Lines of steps that stay to be read. */
const LOG_LINES = 200;

export class RunControls {
  readonly element: HTMLElement;
  readonly #app: App;
  readonly #go = h('button', { type: 'button', class: 'go' }, 'start');
  readonly #stop = h('button', { type: 'button' }, 'stop');
  readonly #audit = h(
    'button',
    { type: 'button', title: 'bring all actors to rest and check the whole machine' },
    'audit',
  );
  readonly #step = h('button', { type: 'button' }, 'step');
  readonly #actor = h('select', { 'aria-label': 'Actor to step' });
  readonly #count = h('input', { type: 'number', class: 'num', value: 1, min: 1, max: 1000, 'aria-label': 'Steps' });
  readonly #log = h('pre', { class: 'step-log', tabindex: '0', 'aria-label': 'Steps', hidden: true });
  #status: StateMessage['status'] = 'ended';
  #names = '';
  #lines: string[] = [];

  /** @param where `bar`: the short form; `knobs`: with steps */
  constructor(app: App, where: 'bar' | 'knobs') {
    this.#app = app;
    this.#go.id = `${where}-go`;
    this.#stop.id = `${where}-stop`;
    this.#step.id = `${where}-step`;
    const stepping = h('span', { class: 'stepping' }, this.#actor, this.#count, this.#step);
    this.element = h(
      'div',
      { class: 'controls' },
      h('div', { class: 'row' }, this.#go, this.#stop, ...(where === 'knobs' ? [this.#audit, stepping] : [])),
    );
    if (where === 'knobs') this.element.append(this.#log);
    this.#go.addEventListener('click', () => this.toggle());
    this.#stop.addEventListener('click', () => void app.command({ type: 'stop' }));
    this.#audit.addEventListener('click', () => void app.command({ type: 'audit' }));
    this.#step.addEventListener('click', () => void this.step());
    app.on('state', (state) => this.#state(state));
  }

  /** Start, pause or resume, whichever makes sense now. */
  toggle(): void {
    if (this.#status === 'running') void this.#app.command({ type: 'pause' });
    else if (this.#status === 'paused' || this.#status === 'stepping') void this.#app.command({ type: 'resume' });
    else if (this.#status === 'ended') void this.#app.command({ type: 'start' });
  }

  async step(): Promise<void> {
    if (this.#step.disabled) return;
    const answer = await this.#app.command({
      type: 'step',
      actor: this.#actor.value,
      steps: Number(this.#count.value),
    });
    this.#lines.push(...(answer.lines ?? []));
    this.#lines = this.#lines.slice(-LOG_LINES);
    this.#log.hidden = this.#lines.length === 0;
    setText(this.#log, this.#lines.join('\n'));
    this.#log.scrollTop = this.#log.scrollHeight;
  }

  #state({ status, actors, can }: StateMessage): void {
    this.#status = status;
    const labels = {
      running: 'pause',
      paused: 'resume',
      stepping: 'resume',
      ended: 'start',
      starting: 'starting',
      stopping: 'stopping',
    };
    setText(this.#go, labels[status]);
    this.#go.disabled = status === 'starting' || status === 'stopping' || (status === 'ended' && !can.restart);
    const over = status === 'ended' || status === 'starting' || status === 'stopping';
    this.#stop.disabled = over;
    this.#audit.disabled = status !== 'running';
    this.#step.disabled = over || !can.step;
    this.#step.title = can.step ? 'freeze, then one schedule point of this actor' : 'this run cannot be stepped';
    const names = actors.map(({ name }) => name).join(' ');
    if (names === this.#names) return;
    this.#names = names;
    const chosen = this.#actor.value;
    this.#actor.replaceChildren(...actors.map(({ name }) => h('option', { value: name }, name)));
    if (actors.some(({ name }) => name === chosen)) this.#actor.value = chosen;
  }
}
