/** `pinfall list`: what there is to run and to watch. */
import { Command } from 'commander';
import { listEverything } from '../../lab/list.js';
import { printReport } from '../output.js';
import { table } from '../render/table.js';

export function listCommand(): Command {
  return new Command('list')
    .description('scenarios, programs, policies, invariants and event types')
    .option('--json', 'one object on standard output')
    .action((options: { json?: boolean }) => {
      printReport(listEverything(), options, (lists) =>
        [
          [
            'Scenarios',
            table(
              ['name', 'what it is'],
              lists.scenarios.map((row) => [row.name, row.description]),
            ),
          ],
          [
            'Programs for explore',
            table(
              ['name', 'what it is'],
              lists.programs.map((row) => [row.name, row.description]),
            ),
          ],
          [
            'Policies',
            table(
              ['id', 'what it is'],
              lists.policies.map((row) => [row.id, row.title]),
            ),
          ],
          [
            'Invariants',
            table(
              ['id', 'holds when', 'how it is checked'],
              lists.invariants.map((row) => [row.id, row.sentence, row.checked]),
            ),
          ],
          [
            'Event types',
            table(
              ['name', 'arguments'],
              lists.events.map((row) => [row.name, row.arguments.join(', ')]),
            ),
          ],
        ]
          .map(([title, body]) => `${title}\n${body}`)
          .join('\n\n'),
      );
    });
}
