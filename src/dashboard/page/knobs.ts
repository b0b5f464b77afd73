/** Knobs: what can be turned while it runs, who sits where, and what takes a restart. */
import type { KnobInfo } from '../../lab/live/types.js';
import type { PlacementName, StateMessage } from '../protocol.js';
import type { App } from './app.js';
import { RunControls } from './controls.js';
import { byId, h, heading, setText } from './dom.js';

const SCHEMES: readonly (readonly [PlacementName, string])[] = [
  ['balanced', 'balanced'],
  ['apart', 'CPUs, daemons and EL2 apart'],
  ['el2-apart', 'EL2 apart'],
];

/** Where a group of knobs stands: what is turned most comes first. */
const GROUPS = ['engine', 'ksmd', 'khugepaged', 'numa-balancer', 'kernel'];
const rank = (group: string): number => {
  const index = GROUPS.findIndex((known) => group.startsWith(known));
  return index < 0 ? GROUPS.length : index;
};

interface KnobField {
  readonly info: KnobInfo;
  readonly input: HTMLInputElement;
}

export class KnobsPanel {
  readonly #app: App;
  readonly #fields = new Map<string, KnobField>();
  readonly #knobBox = h('div', { class: 'knob-groups' });
  readonly #fixedSummary = h('summary', {});
  readonly #fixedList = h('pre', { class: 'fixed-knobs', tabindex: '0' });
  readonly #fixed = h('details', { class: 'all-counters', hidden: true }, this.#fixedSummary, this.#fixedList);
  readonly #workers = h('input', { type: 'number', class: 'num', id: 'workers', min: 1, max: 64, value: 1 });
  readonly #scheme = h(
    'select',
    { id: 'scheme', 'aria-label': 'Placement' },
    ...SCHEMES.map(([value, label]) => h('option', { value }, label)),
  );
  readonly #seats = h('div', { class: 'seats' });
  readonly #placeNote = h('p', { class: 'muted' });
  readonly #scenario = h('select', { id: 'scenario' });
  readonly #policy = h('select', { id: 'policy' }, h('option', { value: '' }, "the scenario's own"));
  readonly #seed = h('input', {
    type: 'text',
    class: 'num',
    id: 'seed',
    inputmode: 'numeric',
    placeholder: 'a new one',
    size: 11,
  });
  readonly #restart = h('button', { type: 'submit', id: 'restart' }, 'restart with these');
  readonly #restartNote = h('p', { class: 'muted', id: 'restart-note' });
  #names = '';
  #seatKey = '';

  constructor(app: App) {
    this.#app = app;
    byId('knobs').append(
      heading('knobs', 'Knobs', h('span', { class: 'muted', id: 'note' })),
      new RunControls(app, 'knobs').element,
      h('div', { class: 'knob-grid' }, this.#placementForm(), this.#restartForm()),
      this.#knobBox,
      this.#fixed,
    );
    app.on('hello', (hello) => {
      this.#scenario.replaceChildren(
        ...hello.scenarios.map(({ name, title }) => h('option', { value: name, title }, name)),
      );
      this.#policy.replaceChildren(
        h('option', { value: '' }, "the scenario's own"),
        ...hello.policies.map(({ id, title }) => h('option', { value: id, title }, id)),
      );
      this.#scenario.value = hello.state.scenario;
      this.#policy.value = hello.state.policy;
    });
    app.on('state', (state) => this.#state(state));
  }

  #state(state: StateMessage): void {
    setText(byId('note'), state.note);
    this.#drawKnobs(state);
    this.#drawSeats(state);
    this.#restart.disabled = !state.can.restart;
    setText(
      this.#restartNote,
      state.can.restart
        ? 'Scenario, policy and seed are fixed for a run. A restart ends this run (teardown and last audit included), and begins another; charts begin anew.'
        : 'This page belongs to a stress run: scenario, policy and seed take a run of pinfall dashboard.',
    );
  }

  #placementForm(): HTMLElement {
    const apply = h('button', { type: 'submit', id: 'apply-workers' }, 'apply');
    const form = h(
      'form',
      { class: 'row' },
      h('label', {}, 'workers ', this.#workers),
      h('label', {}, 'placed ', this.#scheme),
      apply,
    );
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      const scheme = SCHEMES.find(([value]) => value === this.#scheme.value)?.[0];
      void this.#busy(apply, () => this.#app.command({ type: 'workers', count: Number(this.#workers.value), scheme }));
    });
    return h('fieldset', {}, h('legend', {}, 'Workers and placement'), this.#placeNote, form, this.#seats);
  }

  #restartForm(): HTMLElement {
    const form = h(
      'form',
      { class: 'restart' },
      h('label', {}, 'scenario ', this.#scenario),
      h('label', {}, 'policy ', this.#policy),
      h('label', {}, 'seed ', this.#seed),
      this.#restart,
    );
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      const seed = this.#seed.value.trim();
      if (seed !== '' && !/^\d{1,10}$/.test(seed)) {
        this.#app.say(`seed: expected a whole number or nothing, got ${seed}`, false);
        return;
      }
      void this.#busy(this.#restart, () =>
        this.#app.command({
          type: 'restart',
          scenario: this.#scenario.value,
          ...(this.#policy.value !== '' && { policy: this.#policy.value }),
          ...(seed !== '' && { seed: Number(seed) }),
        }),
      );
    });
    return h('fieldset', {}, h('legend', {}, 'By a restart'), this.#restartNote, form);
  }

  #drawSeats({ placement, can, actors }: StateMessage): void {
    const { rows, workers, workersMax } = placement;
    setText(
      this.#placeNote,
      can.place
        ? 'Actors retire at the top of their loops and go on elsewhere; the whole machine is audited after each move.'
        : 'This run cannot move actors while it runs.',
    );
    this.#workers.max = String(workersMax);
    const seatOf = new Map(rows.flatMap(({ worker, actors: names }) => names.map((name) => [name, worker] as const)));
    const key = JSON.stringify([[...seatOf], workersMax, can.place]);
    if (key === this.#seatKey) return;
    this.#seatKey = key;
    this.#workers.value = String(workers);
    const numbers = [
      ...new Set([...rows.map(({ worker }) => worker), ...Array.from({ length: workersMax }, (_, worker) => worker)]),
    ].toSorted((a, b) => a - b);
    this.#seats.replaceChildren(
      ...actors.map(({ name }) => {
        const select = h(
          'select',
          { 'data-actor': name, disabled: !can.place },
          ...numbers.map((worker) => h('option', { value: worker }, `worker ${worker}`)),
        );
        select.value = String(seatOf.get(name) ?? -1);
        select.addEventListener('change', () => {
          void this.#busy(select, async () => {
            const answer = await this.#app.command({ type: 'move', actor: name, worker: Number(select.value) });
            if (!answer.ok) select.value = String(seatOf.get(name) ?? -1);
          });
        });
        return h('label', {}, h('span', {}, name), select);
      }),
    );
  }

  #drawKnobs({ knobs }: StateMessage): void {
    const names = knobs.map(({ name }) => name).join(' ');
    if (names !== this.#names) {
      this.#names = names;
      this.#fields.clear();
      // those that can be turned, by group: scanners before workloads
      const live = knobs.filter(({ takes }) => takes === 'live');
      const groups = [...new Set(live.map(({ group }) => group))].toSorted((a, b) => rank(a) - rank(b));
      const fixed = knobs.filter(({ takes }) => takes === 'restart');
      this.#fixed.hidden = fixed.length === 0;
      setText(this.#fixedSummary, `${fixed.length} more are fixed for a run, by its scenario`);
      setText(this.#fixedList, fixed.map(({ name, value, unit }) => `${name} = ${value} ${unit}`.trim()).join('\n'));
      this.#knobBox.replaceChildren(
        ...groups.map((group) =>
          h(
            'fieldset',
            {},
            h('legend', {}, group),
            ...live.filter((knob) => knob.group === group).map((knob) => this.#field(knob)),
          ),
        ),
      );
    }
    for (const { name, value } of knobs) {
      const field = this.#fields.get(name);
      if (field !== undefined && document.activeElement !== field.input) field.input.value = String(value);
    }
  }

  #field(info: KnobInfo): HTMLElement {
    const { name, group, min, max, unit, value, description } = info;
    const id = `knob-${name.replaceAll('.', '-')}`;
    const input = h('input', { type: 'number', class: 'num', id, min, max, value, step: 1, 'data-knob': name });
    this.#fields.set(name, { info, input });
    const set = (wish: number): void => {
      const clipped = Math.round(Math.max(min, Math.min(max, wish)));
      input.value = String(clipped);
      void this.#app.command({ type: 'knob', name, value: clipped });
    };
    input.addEventListener('change', () => set(Number(input.value)));
    const scale = (label: string, factor: number): HTMLElement => {
      const button = h('button', { type: 'button', class: 'quiet', 'aria-label': `${name} ${label}` }, label);
      button.addEventListener('click', () => set(Math.max(Number(input.value), factor > 1 ? 1 : 0) * factor));
      return button;
    };
    const short = name.startsWith(`${group}.`) ? name.slice(group.length + 1) : name;
    const scales = max - min > 2 ? [scale('\u00f72', 0.5), scale('\u00d72', 2)] : [];
    return h(
      'div',
      { class: 'knob', title: `${description} (${min} to ${max})` },
      h(
        'label',
        { for: id },
        h('span', { class: 'knob-name' }, short.replace(/_us$/, '').replaceAll('_', '_\u200b')),
        ' ',
        h('small', {}, unit),
      ),
      input,
      h('span', { class: 'scale' }, ...scales),
    );
  }

  async #busy(element: HTMLElement, job: () => Promise<unknown>): Promise<void> {
    element.setAttribute('aria-busy', 'true');
    try {
      await job();
    } finally {
      element.removeAttribute('aria-busy');
    }
  }
}
