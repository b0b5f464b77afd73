/** One guest page: where it stands, its frame, its counts, and what happened to it. */
import type { PageAnswer } from '../protocol.js';
import { h, setText } from './dom.js';
import { clock, hex, whole } from './format.js';

const orNone = (number: number): string => (number < 0 ? 'none' : hex(number));

export class PageView {
  readonly element = h('div', { class: 'page-view', 'aria-live': 'off' });
  readonly #title = h('h3', {}, 'Page');
  readonly #facts = h('dl', { class: 'facts' });
  readonly #history = h('ol', { class: 'history', tabindex: '0', 'aria-label': 'History of the page, newest first' });
  readonly #hint = h('p', { class: 'calm' }, 'Click a page, or move with the arrow keys and press Enter.');

  constructor() {
    this.element.append(this.#title, this.#hint, this.#facts, this.#history);
  }

  clear(): void {
    setText(this.#title, 'Page');
    this.#hint.hidden = false;
    this.#facts.replaceChildren();
    this.#history.replaceChildren();
  }

  fail(reason: string): void {
    this.clear();
    setText(this.#hint, reason);
  }

  show({ page, history, at_s }: PageAnswer, state: string): void {
    this.#hint.hidden = true;
    setText(this.#title, `gfn ${hex(page.gfn)} of vm${page.vm}`);
    const facts: readonly (readonly [string, string])[] = [
      ['as of', clock(at_s)],
      ['state', state],
      ['process', page.mm < 0 ? 'in no memslot' : `mm${page.mm}, vpn ${hex(page.vpn)}`],
      ['host entry', page.host.text],
      ['stage 2', page.stage2.text],
      [
        'frame',
        page.pfn < 0
          ? 'none'
          : `pfn ${hex(page.pfn)}${page.order > 0 ? ` of a folio of order ${page.order}, head ${orNone(page.head)}` : ''}`,
      ],
      ['refcount', whole(page.refs)],
      ['pins', whole(page.pins)],
      ['mappings', whole(page.mappings)],
      ['KSM sharers', page.ksmSharers === 0 ? 'none' : whole(page.ksmSharers)],
      ['flags', page.flags.length === 0 ? 'none' : page.flags.join(', ')],
      ['content', hex(page.content)],
    ];
    this.#facts.replaceChildren(
      ...facts.flatMap(([name, value]) => [h('dt', {}, name), h('dd', { class: 'num', 'data-fact': name }, value)]),
    );
    this.#history.replaceChildren(
      ...history
        .toReversed()
        .slice(0, 100)
        .map(({ time, actor, text, note }) =>
          h(
            'li',
            {},
            h('span', { class: 'num muted' }, String(time)),
            h('b', {}, actor),
            h('span', {}, text),
            note === '' ? null : h('em', {}, `<-- ${note}`),
          ),
        ),
    );
    if (history.length === 0) this.#history.append(h('li', { class: 'calm' }, 'No event of this page is remembered.'));
  }
}
