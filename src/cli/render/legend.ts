/** `--legend`: what the numbers of a report count. */
import type { Command } from 'commander';
import type { Legend } from '../../lab/report/legend.js';
import { pc } from './colour.js';
import { table } from './table.js';

export const withLegend = (command: Command): Command =>
  command.option('--legend', 'what every counter and column counts, behind the report');

export const renderLegend = (legend: Legend): string =>
  legend
    .map(([title, lines]) => `${pc.bold(title)}\n${table(['name', 'what it counts'], Object.entries(lines))}`)
    .join('\n\n');

/** Behind a report's text, where it was asked for. */
export const withLegendOf = (text: string, asked: boolean | undefined, legend: Legend): string =>
  asked === true ? `${text}\n\n${renderLegend(legend)}` : text;
