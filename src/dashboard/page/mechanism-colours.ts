/** The colours of the mechanisms, one variable `--m-<name>` each, by theme: from the table of mechanisms. */
import { MECHANISM_ROWS } from '../../machine/mechanisms.js';

const variables = (theme: 0 | 1): string =>
  MECHANISM_ROWS.map(({ name, colours }) => (colours === null ? '' : `--m-${name}: ${colours[theme]};`)).join(' ');

/** Adds them to the page's style sheets. */
export function adoptMechanismColours(): void {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(`
    :root { ${variables(0)} }
    @media (prefers-color-scheme: dark) { :root:not([data-theme='light']) { ${variables(1)} } }
    :root[data-theme='dark'] { ${variables(1)} }
  `);
  document.adoptedStyleSheets.push(sheet);
}
