/** Building and finding elements. Text is always text: nothing here parses markup. */

type Child = Node | string | null | undefined;
type Attributes = Readonly<Record<string, string | number | boolean | ((event: Event) => void) | undefined>>;

/** `h('button', { type: 'button', onclick: go }, 'Go')`. */
export function h<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  attributes: Attributes = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[Name] {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === 'function') element.addEventListener(key.replace(/^on/, ''), value);
    else if (value === true) element.setAttribute(key, '');
    else if (value !== undefined && value !== false) element.setAttribute(key, String(value));
  }
  for (const child of children) if (child !== null && child !== undefined) element.append(child);
  return element;
}

/** An element of index.html. */
export function byId(id: string): HTMLElement {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`no element #${id}`);
  return element;
}

/** Sets text only where it differs: screen readers and selections are left alone. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** A panel's heading with what stands beside it. */
export function heading(id: string, title: string, ...beside: readonly Child[]): HTMLElement {
  return h('div', { class: 'panel-head' }, h('h2', { id: `${id}-title` }, title), ...beside);
}

/** A table with a caption for those who do not see where it stands. */
export function table(caption: string, columns: readonly string[], textColumns = 1) {
  const body = h('tbody');
  const element = h(
    'table',
    {},
    h('caption', { class: 'sr-only' }, caption),
    h(
      'thead',
      {},
      h(
        'tr',
        {},
        ...columns.map((column, index) => h('th', { scope: 'col', class: index < textColumns ? 'text' : '' }, column)),
      ),
    ),
    body,
  );
  return { element, body };
}

/** Rows of a table that is filled again and again: rows and cells are made once. */
export function fill(body: HTMLElement, rows: readonly (readonly string[])[], textColumns = 1): void {
  while (body.childElementCount > rows.length) body.lastElementChild?.remove();
  rows.forEach((cells, index) => {
    let row = body.children[index];
    if (row === undefined) body.append((row = h('tr')));
    while (row.childElementCount > cells.length) row.lastElementChild?.remove();
    cells.forEach((text, column) => {
      let cell = row.children[column];
      if (cell === undefined) {
        cell =
          column === 0
            ? h('th', { scope: 'row', class: 'text' })
            : h('td', { class: column < textColumns ? 'text' : '' });
        row.append(cell);
      }
      setText(cell, text);
    });
  });
}

/** A colour of the style sheet, as the theme has it now. */
export const colour = (name: string): string =>
  getComputedStyle(document.documentElement).getPropertyValue(name).trim();
