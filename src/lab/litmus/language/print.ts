/** A litmus file's parts as text: what `parse` reads again to the same parts. Questions in messages and reports are printed so too. */
import type {
  Argument,
  CallExpr,
  Condition,
  FramesDecl,
  Header,
  LitmusFile,
  MappingDecl,
  PageRef,
  ProcessDecl,
  SlotDecl,
  Value,
  VmDecl,
  Who,
  Word,
} from './ast.js';

function pageSource({ process, name, from, to }: PageRef): string {
  const index = from === null ? '' : to === null ? `[${from.value}]` : `[${from.value}..${to.value}]`;
  return `${process === null ? '' : `${process.text}.`}${name.text}${index}`;
}

const argumentSource = (argument: Argument): string =>
  argument.kind === 'page' ? pageSource(argument) : String(argument.value);

export const callSource = ({ name, args }: CallExpr): string => `${name.text}(${args.map(argumentSource).join(', ')})`;

export function valueSource(value: Value): string {
  switch (value.kind) {
    case 'number':
      return String(value.value);
    case 'minus':
      return `-${value.name.text}`;
    case 'result':
      return `${value.actor.text}:${value.name.text}`;
    case 'term':
      return `${value.name.text}(${value.args.map(valueSource).join(', ')})`;
    default:
      return pageSource(value);
  }
}

/** With parentheses only where the signs' strength asks for them. */
export function conditionText(condition: Condition): string {
  switch (condition.kind) {
    case 'compare':
      return `${valueSource(condition.left)} ${condition.relation} ${valueSource(condition.right)}`;
    case 'not':
      return `~${condition.of.kind === 'not' ? conditionText(condition.of) : `(${conditionText(condition.of)})`}`;
    case 'and':
      return condition.of.map((each) => inner(each, each.kind === 'or' || each.kind === 'and')).join(' /\\ ');
    default:
      return condition.of.map((each) => inner(each, each.kind === 'or')).join(' \\/ ');
  }
}

const inner = (condition: Condition, enclosed: boolean): string =>
  enclosed ? `(${conditionText(condition)})` : conditionText(condition);

const flagText = (flags: readonly Word[]): string => flags.map(({ text }) => ` ${text}`).join('');
const whoText = ({ name, vcpu }: Who): string => `${name.text}${vcpu === null ? '' : `.${vcpu.value}`}`;

function headerText(header: Header): string {
  switch (header.kind) {
    case 'machine':
    case 'knobs':
      return `${header.kind} ${header.settings
        .map(({ name, value }) => `${name.text} ${'text' in value ? value.text : value.value}`)
        .join(', ')}`;
    case 'inject':
      return `inject alloc ${header.actor.text} ${header.nth.value}`;
    case 'expect':
      return `expect ${header.what}${header.what === 'violation' ? ` ${header.invariant.text}` : ''}`;
    case 'steps':
      return `steps ${header.steps.value}`;
    default:
      return `${header.kind} ${header.name.text}`;
  }
}

const mappingText = ({ name, kind, object, pages, flags }: MappingDecl): string =>
  `  ${name.text}: ${kind}${object === null ? '' : ` ${object.text}`} ${pages.value}${flagText(flags)}`;

function processText({ name, memlock, mappings }: ProcessDecl): string {
  const head = `process ${name.text}${memlock === null ? '' : ` memlock ${memlock.value}`}`;
  return mappings.length === 0 ? `${head};` : [`${head} {`, ...mappings.map(mappingText), '}'].join('\n');
}

const slotText = ({ id, gfn, pages, page, flags }: SlotDecl): string =>
  `  slot ${id.value}: gfn ${gfn.value} pages ${pages.value} at ${pageSource(page)}${flagText(flags)}`;

const vmText = ({ name, process, vcpus, words, slots }: VmDecl): string =>
  [
    `vm ${name.text} of ${process.text}${vcpus === null ? '' : ` vcpus ${vcpus.value}`}${flagText(words)} {`,
    ...slots.map(slotText),
    '}',
  ].join('\n');

function framesText(frames: FramesDecl): string {
  if (frames.kind === 'poison') return `poison ${pageSource(frames.page)};`;
  return `${frames.kind} ${frames.from.value}${frames.to === null ? '' : `..${frames.to.value}`};`;
}

const resultText = (result: Word | null): string => (result === null ? '' : `${result.text} = `);

/** The whole file, columns under each other. */
export function printLitmus(file: LitmusFile): string {
  const cells = [
    file.actors.map(
      ({ name, of, node }) =>
        `${name.text}${of === null ? '' : `@${whoText(of)}`}${node === null ? '' : ` node ${node.value}`}`,
    ),
    ...file.rows.map((row) =>
      row.cells.map((cell) => (cell === null ? '' : `${resultText(cell.result)}${callSource(cell.call)}`)),
    ),
  ];
  const widths = cells.reduce<number[]>(
    (most, row) =>
      row.reduce<number[]>((so, cell, i) => Object.assign(so, { [i]: Math.max(so[i] ?? 0, cell.length) }), most),
    [],
  );
  const rows = cells.map((row) => `${row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(' | ')} ;`);
  const init = file.init.map(({ result, who, call }) => `  ${resultText(result)}${whoText(who)}: ${callSource(call)};`);
  const questions = file.questions.map(
    ({ word, during, condition }) => `${word}${during ? ' during' : ''} (${conditionText(condition)})`,
  );
  const parts = [
    [`litmus ${file.name.text}`, `"${file.sentence}"`, ...file.headers.map(headerText)],
    [...file.processes.map(processText), ...file.vms.map(vmText), ...file.frames.map(framesText)],
    init.length === 0 ? [] : ['init {', ...init, '}'],
    rows,
    questions,
  ];
  return `${parts
    .filter((part) => part.length > 0)
    .map((part) => part.join('\n'))
    .join('\n\n')}\n`;
}
