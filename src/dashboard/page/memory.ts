/** Memory: a guest's pages as a map, a byte of state each, over the last minute; and one page told in full. */
import type { PageAnswer, MemoryMessage } from '../protocol.js';
import { type App, watchVisible } from './app.js';
import { byId, colour, fill, h, heading, setText, table } from './dom.js';
import { clock, hex, percent, whole } from './format.js';
import { PageView } from './page-view.js';
import { get, getBytes } from './stream.js';

/** Frames that the slider reaches: the server keeps as many. */
const FRAMES_MAX = 60;

/** What each state means, in the order in which a page shows the first that holds. */
const STATES: Readonly<Record<string, string>> = {
  none: 'nothing mapped at stage 2',
  mapped: 'mapped',
  huge: 'mapped as part of a huge page',
  ksm: 'a KSM page',
  prot_none: 'PROT_NONE (NUMA hint)',
  pinned: 'pinned',
  migrating: 'a migration entry',
  swapped: 'swapped out',
  unmapped_pinned: 'unmapped at stage 2 though pinned',
  no_slot: 'in no memslot',
};

export class MemoryPanel {
  readonly #app: App;
  readonly #canvas = h('canvas', {
    class: 'map',
    tabindex: '0',
    role: 'application',
    'aria-label': "Map of the guest's pages. Arrow keys move, Enter shows the page.",
  });
  readonly #mark = h('div', { class: 'mark', hidden: true });
  readonly #under = h('output', { class: 'under num' }, '');
  readonly #slider = h('input', { type: 'range', min: 0, max: 0, value: 0, 'aria-label': 'Time' });
  readonly #time = h('output', { class: 'num time' }, 'live');
  readonly #liveButton = h('button', { type: 'button', 'aria-pressed': 'true' }, 'live');
  readonly #vms = h('select', { 'aria-label': 'Guest' });
  readonly #goto = h('input', {
    type: 'text',
    class: 'num',
    size: 8,
    placeholder: '0x1200',
    'aria-label': 'Go to gfn',
    spellcheck: 'false',
  });
  readonly #states = table('Pages in each state', ['state', 'pages', 'share']);
  readonly #page = new PageView();
  readonly #empty = h('p', { class: 'calm' }, 'No guest memory to show yet.');
  readonly #visible: () => boolean;
  #frames: MemoryMessage[] = [];
  #vm = 0;
  #live = true;
  #bytes: Uint8Array = new Uint8Array();
  #shownFrame = -1;
  /** The frame that the slider stands at while it is not live. */
  #chosen = 0;
  /** The page under the cursor of the keyboard, and the one that is told. */
  #cursor = 0;
  #selected = -1;
  #loading = false;
  #soon = 0;
  #palette: Uint32Array = new Uint32Array(256);

  constructor(app: App) {
    this.#app = app;
    const controls = h(
      'form',
      { class: 'row' },
      this.#vms,
      this.#liveButton,
      this.#slider,
      this.#time,
      h('label', {}, 'gfn ', this.#goto),
    );
    controls.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#select(Number(this.#goto.value));
    });
    byId('memory').append(
      heading('memory', 'Memory', h('span', { class: 'muted' }, 'guest pages, by gfn, row by row')),
      this.#empty,
      h(
        'div',
        { class: 'memory-grid' },
        h('div', {}, controls, h('div', { class: 'map-box' }, this.#canvas, this.#mark), this.#under),
        h('div', { class: 'scroll states', tabindex: '0' }, this.#states.element),
        this.#page.element,
      ),
    );
    this.#states.element.id = 'state-table';
    this.#visible = watchVisible(this.#canvas, () => void this.#show());
    this.#listen();
    app.on('memory', (message) => this.#take(message));
    app.on('run', () => this.#reset());
    app.on('theme', () => {
      this.#paint();
      this.#drawStates();
    });
  }

  #listen(): void {
    this.#slider.addEventListener('input', () => {
      const chosen = this.#mine()[Number(this.#slider.value)];
      this.#chosen = chosen?.frame ?? 0;
      this.#setLive(this.#slider.value === this.#slider.max);
      void this.#show();
    });
    this.#liveButton.addEventListener('click', () => {
      this.#chosen = this.#shownFrame;
      this.#setLive(!this.#live);
      void this.#show();
    });
    this.#vms.addEventListener('change', () => {
      this.#vm = Number(this.#vms.value);
      this.#shownFrame = -1;
      this.#limits();
      void this.#show();
    });
    this.#canvas.addEventListener('pointermove', (event) => this.#tell(this.#gfnAt(event)));
    this.#canvas.addEventListener('click', (event) => this.#select(this.#gfnAt(event)));
    this.#canvas.addEventListener('keydown', (event) => this.#key(event));
  }

  #reset(): void {
    this.#frames = [];
    this.#shownFrame = -1;
    this.#bytes = new Uint8Array();
    this.#selected = -1;
    this.#mark.hidden = true;
    this.#page.clear();
    this.#canvas.width = 0;
    delete this.#canvas.dataset['frame'];
    this.#states.body.replaceChildren();
    setText(this.#time, 'live');
    setText(this.#under, '');
    this.#setLive(true);
    const vms = this.#app.state?.vms ?? [];
    if (!vms.some(({ vm }) => vm === this.#vm)) this.#vm = 0;
    this.#vms.replaceChildren(
      ...vms.map(({ vm, pages }) => h('option', { value: vm }, `vm${vm}, ${whole(pages)} pages`)),
    );
    this.#vms.value = String(this.#vm);
    this.#empty.hidden = vms.length > 0;
    setText(this.#empty, vms.length === 0 ? 'This scenario has no guest.' : '');
  }

  #take(message: MemoryMessage): void {
    if (message.run !== this.#app.state?.run) return;
    this.#frames.push(message);
    this.#frames = this.#frames
      .filter((frame) => frame.vm !== message.vm || frame.frame >= message.oldest)
      .slice(-FRAMES_MAX * 4);
    this.#empty.hidden = true;
    if (message.vm !== this.#vm) return;
    this.#limits();
    this.#showSoon();
  }

  /** A new page is told of many frames at once, of which the first are gone: only the last is asked for. */
  #showSoon(): void {
    clearTimeout(this.#soon);
    this.#soon = window.setTimeout(() => {
      if (this.#visible()) void this.#show();
    }, 50);
  }

  #mine(): MemoryMessage[] {
    return this.#frames.filter((frame) => frame.vm === this.#vm);
  }

  /** The frame to be shown: the newest, or the one that was chosen (the oldest, once that has gone). */
  #wanted(): MemoryMessage | undefined {
    const mine = this.#mine();
    return this.#live ? mine.at(-1) : (mine.find(({ frame }) => frame >= this.#chosen) ?? mine.at(-1));
  }

  /** The slider's ends; its thumb stays at its frame. */
  #limits(): void {
    const mine = this.#mine();
    const wanted = this.#wanted();
    this.#slider.max = String(Math.max(0, mine.length - 1));
    this.#slider.value = String(wanted === undefined ? 0 : mine.indexOf(wanted));
  }

  #setLive(live: boolean): void {
    this.#live = live;
    this.#liveButton.setAttribute('aria-pressed', String(live));
    if (live) this.#slider.value = this.#slider.max;
  }

  /** Fetches the chosen frame and paints it. */
  async #show(): Promise<void> {
    const mine = this.#mine();
    const frame = this.#wanted();
    if (frame === undefined || this.#loading || frame.frame === this.#shownFrame) return;
    // the map follows the page that is told: both of one moment
    if (this.#live && this.#selected >= 0) return this.#load();
    this.#loading = true;
    try {
      this.#bytes = await getBytes(`api/memory/${frame.vm}/${frame.frame}`);
      this.#shownFrame = frame.frame;
      this.#paint();
      this.#drawStates();
      const newest = mine.at(-1)?.at_s ?? frame.at_s;
      setText(
        this.#time,
        frame.frame === mine.at(-1)?.frame
          ? `live ${clock(frame.at_s)}`
          : `${clock(frame.at_s)} (${(frame.at_s - newest).toFixed(0)} s)`,
      );
      this.#canvas.dataset['frame'] = String(frame.frame);
    } catch {
      // it has just fallen out of the server's minute; the next one comes
    } finally {
      this.#loading = false;
    }
    // what was asked for meanwhile
    const wanted = this.#wanted();
    if (wanted !== undefined && wanted.frame !== frame.frame && this.#visible()) void this.#show();
  }

  get #width(): number {
    return 2 ** Math.ceil(Math.log2(Math.max(1, Math.sqrt(this.#bytes.length))));
  }

  #paint(): void {
    const pages = this.#bytes.length;
    if (pages === 0) return;
    const width = this.#width;
    const height = Math.ceil(pages / width);
    this.#palette = this.#colours();
    if (this.#canvas.width !== width || this.#canvas.height !== height) {
      this.#canvas.width = width;
      this.#canvas.height = height;
      this.#canvas.style.aspectRatio = `${width} / ${height}`;
    }
    const context = this.#canvas.getContext('2d', { willReadFrequently: true });
    if (context === null) return;
    const image = context.createImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    for (let gfn = 0; gfn < pages; gfn++) pixels[gfn] = this.#palette[this.#bytes[gfn] as number] as number;
    context.putImageData(image, 0, 0);
    this.#placeMark();
  }

  /** The states' colours as pixels. */
  #colours(): Uint32Array {
    const context = h('canvas', { width: 1, height: 1 }).getContext('2d', { willReadFrequently: true });
    const palette = new Uint32Array(256);
    (this.#app.hello?.pageStates ?? []).forEach((state, index) => {
      if (context === null) return;
      context.fillStyle = colour(`--s-${state}`) || '#888';
      context.fillRect(0, 0, 1, 1);
      palette[index] = new Uint32Array(context.getImageData(0, 0, 1, 1).data.buffer)[0] as number;
    });
    return palette;
  }

  #drawStates(): void {
    const counts =
      this.#frames.find((frame) => frame.vm === this.#vm && frame.frame === this.#shownFrame)?.counts ?? [];
    const all = counts.reduce((sum, count) => sum + count, 0);
    const rows = (this.#app.hello?.pageStates ?? []).flatMap((state, index) => {
      const count = counts[index] ?? 0;
      return count === 0 && (state === 'swapped' || state === 'no_slot')
        ? []
        : [[STATES[state] ?? state, whole(count), percent(count / Math.max(1, all))]];
    });
    fill(this.#states.body, rows);
    const shown = (this.#app.hello?.pageStates ?? []).filter(
      (state, index) => (counts[index] ?? 0) > 0 || (state !== 'swapped' && state !== 'no_slot'),
    );
    shown.forEach((state, index) => {
      const cell = this.#states.body.children[index]?.firstElementChild as HTMLElement | undefined;
      if (cell === undefined) return;
      cell.className = 'text state-cell';
      cell.style.setProperty('--swatch', `var(--s-${state})`);
    });
  }

  #gfnAt(event: MouseEvent): number {
    const box = this.#canvas.getBoundingClientRect();
    const x = Math.floor(((event.clientX - box.left) / box.width) * this.#canvas.width);
    const y = Math.floor(((event.clientY - box.top) / box.height) * this.#canvas.height);
    return y * this.#canvas.width + x;
  }

  #tell(gfn: number): void {
    const state = this.#app.hello?.pageStates[this.#bytes[gfn] ?? -1];
    setText(this.#under, state === undefined ? '' : `gfn ${hex(gfn)}  ${STATES[state] ?? state}`);
  }

  #key(event: KeyboardEvent): void {
    const width = this.#canvas.width;
    const steps: Readonly<Record<string, number>> = {
      ArrowLeft: -1,
      ArrowRight: 1,
      ArrowUp: -width,
      ArrowDown: width,
      PageUp: -16 * width,
      PageDown: 16 * width,
    };
    const step = steps[event.key];
    if (step !== undefined) {
      const next = this.#cursor + step * (event.shiftKey ? 16 : 1);
      this.#cursor = Math.max(0, Math.min(this.#bytes.length - 1, next));
      this.#tell(this.#cursor);
      this.#placeMark();
    } else if (event.key === 'Enter' || event.key === ' ') this.#select(this.#cursor);
    else return;
    event.preventDefault();
  }

  #select(gfn: number): void {
    if (!Number.isInteger(gfn) || gfn < 0 || gfn >= this.#bytes.length) {
      this.#app.say(`no page ${this.#goto.value}: expected a gfn below ${hex(this.#bytes.length)}`, false);
      return;
    }
    this.#selected = gfn;
    this.#cursor = gfn;
    this.#goto.value = hex(gfn);
    this.#tell(gfn);
    this.#placeMark();
    void this.#load();
  }

  /** Tells the page that is chosen as it is now, and shows the map of that moment. */
  async #load(): Promise<void> {
    const gfn = this.#selected;
    const vm = this.#vm;
    const { run } = this.#app.state ?? {};
    this.#loading = true;
    try {
      const answer = await get<PageAnswer>(`api/page/${vm}/${gfn}?map=1`);
      const bytes = answer.frame === null ? null : await getBytes(`api/memory/${vm}/${answer.frame}`);
      if (gfn !== this.#selected || vm !== this.#vm || run !== this.#app.state?.run) return;
      if (bytes !== null && answer.frame !== null) {
        this.#setLive(true);
        this.#bytes = bytes;
        this.#shownFrame = answer.frame;
        this.#paint();
        this.#drawStates();
        setText(this.#time, `live ${clock(answer.at_s)}`);
        this.#canvas.dataset['frame'] = String(answer.frame);
      }
      this.#page.show(answer, STATES[answer.page.state] ?? answer.page.state);
    } catch (error) {
      if (gfn === this.#selected) this.#page.fail(error instanceof Error ? error.message : String(error));
    } finally {
      this.#loading = false;
    }
  }

  #placeMark(): void {
    const { width, height } = this.#canvas;
    this.#mark.hidden = this.#bytes.length === 0 || (this.#selected < 0 && document.activeElement !== this.#canvas);
    this.#mark.style.left = `${(((this.#cursor % width) + 0.5) / width) * 100}%`;
    this.#mark.style.top = `${((Math.floor(this.#cursor / width) + 0.5) / height) * 100}%`;
  }
}
