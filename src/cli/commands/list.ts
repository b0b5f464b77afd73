/** `pinfall list`: what there is to run and to watch. */
import { Command } from 'commander';
import { listEverything } from '../../lab/report/list.js';
import { type OutputOptions, printReport } from '../output.js';
import { table } from '../render/table.js';

export function listCommand(): Command {
  return new Command('list')
    .description('scenarios, programs, policies, invariants, litmus files and their words, event types')
    .option('--json', 'one object on standard output')
    .option('--report <file>', 'the same object to a file')
    .action((options: OutputOptions) => {
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
            'Functions of the kernel that policies and planted bugs replace',
            table(
              ['name', 'in the kernel'],
              lists.kernel_functions.map((row) => [row.name, `${row.function}() in ${row.file}, ${row.release}`]),
            ),
          ],
          [
            'Litmus files',
            table(
              ['name', 'verdict', 'what it says'],
              lists.litmus.map((row) => [row.name, row.verdict, row.sentence]),
            ),
          ],
          [
            'Operations of litmus files',
            table(
              ['operation', 'by', 'result', 'what it is'],
              lists.operations.map((row) => [row.operation, row.by, row.result, row.summary]),
            ),
          ],
          [
            'Terms of their questions',
            table(
              ['term', 'values', 'what it is'],
              lists.terms.map((row) => [row.term, row.values.join(', '), row.summary]),
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
